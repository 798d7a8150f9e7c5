import { AgentError } from '../../core/errors.ts';
import type { HypervisorVm } from '../hypervisor-domains.ts';
import type { DomainXml } from './domain-operations.ts';
import { DomainDocument } from './domain-xml/domain-document.ts';
import { METADATA_NAMESPACE } from './domain-xml/metadata-namespace.ts';
import { readLiveSizes } from './live/live-sizes.ts';

/** What a domain's XML says of it. */
export type DomainDescription = Pick<
  HypervisorVm,
  | 'isRead'
  | 'definition'
  | 'liveDefinition'
  | 'runningSinceMs'
  | 'drift'
  | 'kept'
  | 'keptDisks'
  | 'boundDevices'
  | 'letGo'
  | 'accelerator'
  | 'machineType'
  | 'vcpus'
  | 'cpu'
  | 'memoryBytes'
  | 'hugepages'
  | 'lossyMemory'
  | 'sizes'
  | 'volumes'
  | 'disks'
  | 'interfaces'
  | 'consoleLogPath'
  | 'guestAgent'
>;

/** Fails if the XML cannot be read, or means what no domain of ours can. */
export function describeDomain(xml: DomainXml): DomainDescription {
  const live = DomainDocument.parse(xml.live);
  const next = xml.persistent === undefined ? live : DomainDocument.parse(xml.persistent);
  const { accelerator, machineType, memoryBytes, consoleLogPath } = live;
  const { vcpus } = live.cpu;
  if (!Number.isFinite(memoryBytes) || !Number.isFinite(vcpus)) {
    throw new AgentError(
      'HYPERVISOR_FAILURE',
      "Cannot read the domain's XML: its memory or its number of CPUs is no number",
    );
  }
  const { kept, keptDisks } = next;
  const { boundDevices, lossyMemory } = live;
  const { letGo = [] } = live.present;
  return {
    isRead: true,
    definition: next.definition,
    drift: next.drift,
    ...(kept.length > 0 && { kept }),
    ...(keptDisks.length > 0 && { keptDisks }),
    ...(boundDevices.length > 0 && { boundDevices }),
    ...(letGo.length > 0 && { letGo }),
    liveDefinition: next.hasDefinitionOf(live) ? undefined : live.definition,
    runningSinceMs: live.runningSinceMs,
    accelerator,
    machineType,
    vcpus,
    cpu: live.liveCpu ?? '',
    memoryBytes,
    hugepages: live.hugepages,
    ...(live.isLive && { sizes: readLiveSizes(live.text.root) }),
    // Whether QEMU is one that loses any is asked where it is known.
    ...(live.isLive && lossyMemory !== 'start' && lossyMemory && { lossyMemory }),
    volumes: live.volumes.map(({ name, target, path, format, isOpen }) => ({
      name,
      target,
      path,
      format,
      ...(isOpen === true && { isOpen }),
    })),
    disks: live.disks,
    interfaces: live.interfaces,
    consoleLogPath,
    guestAgent: live.guestAgent,
  };
}

/**
 * Whether a domain whose XML cannot be read may be one of ours all the same. Whoever made it, libvirt prints the namespace of
 * our metadata as it is.
 */
export function mayBeOurs(xml: DomainXml): boolean {
  return [xml.live, xml.persistent].some((text) => text?.includes(METADATA_NAMESPACE) === true);
}

/** Of a domain of which nothing is known but that somebody else has made it. */
export const SOMEBODY_ELSES: DomainDescription = {
  isRead: true,
  definition: undefined,
  drift: [],
  liveDefinition: undefined,
  runningSinceMs: undefined,
  accelerator: 'tcg',
  machineType: '',
  vcpus: 0,
  cpu: '',
  memoryBytes: 0,
  hugepages: undefined,
  volumes: [],
  disks: [],
  interfaces: [],
  consoleLogPath: undefined,
};

/** Of a domain that could not be read. */
export const UNREAD: DomainDescription = { ...SOMEBODY_ELSES, isRead: false };
