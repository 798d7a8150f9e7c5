import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import { machine as machineSchema } from '../../core/resources/machine.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { AdoptableVm } from '../hypervisor-domains.ts';
import type { DomainXml, MetadataElement } from './domain-operations.ts';
import { DomainDocument } from './domain-xml/domain-document.ts';

/** What a domain is to who would take it over: its next start counts. */
export function toAdoptable(
  { live, persistent = live }: DomainXml,
  facts: Pick<AdoptableVm, 'isAutostarted' | 'isSaved' | 'isBusy'>,
): AdoptableVm {
  const next = DomainDocument.parse(persistent);
  return { ...next.reading, isOther: !next.isOfPc, ...facts };
}

/**
 * The metadata with which a domain is one of an agent: what it has from its next start on, and where it runs what it has been started
 * with. Fails with VM_BUSY if it is not what the definition says any more.
 */
export function adoptionOf(
  xml: DomainXml,
  definition: VmDefinition,
): Pick<MetadataElement, 'live' | 'persistent'> {
  const live = DomainDocument.parse(xml.live);
  const next = xml.persistent === undefined ? live : DomainDocument.parse(xml.persistent);
  // An agent that was killed may have come as far as this.
  const isOurs = next.definition !== undefined;
  if (!isOurs && !isDeepStrictEqual(machineOf(next), definition.spec.template.spec)) {
    throw new AgentError(
      'VM_BUSY',
      `Cannot adopt VM ${definition.namespace}/${definition.name}: somebody has changed it since it was looked at; try again`,
      { metadata: { vmId: definition.uid }, retryAfterMs: 1_000 },
    );
  }
  const persistent = next.withAdoption(definition).metadataWithFacts({});
  if (xml.persistent === undefined) return { live: persistent, persistent };
  return { live: live.withAdoption(asItRuns(live, definition)).metadataWithFacts({}), persistent };
}

function machineOf(document: DomainDocument): VmDefinition['spec']['template']['spec'] | undefined {
  return machineSchema.safeParse(document.reading.machine).data;
}

/** Of a CPU and a firmware libvirt tells what has become of them, and not what was asked for. */
function asItRuns(live: DomainDocument, definition: VmDefinition): VmDefinition {
  const { spec } = definition;
  const wanted = spec.template.spec;
  const running = machineOf(live);
  if (running === undefined) return definition;
  const { cpu: _cpu, firmware: _firmware, ...others } = running;
  const { cpu, firmware } = wanted;
  const machine = { ...others, ...(cpu && { cpu }), ...(firmware && { firmware }) };
  // In the same text, whatever the order of its keys.
  if (isDeepStrictEqual(machine, wanted)) return definition;
  return { ...definition, spec: { ...spec, template: { ...spec.template, spec: machine } } };
}
