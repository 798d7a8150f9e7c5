import { AgentError } from '../../../../core/errors.ts';
import type { Machine } from '../../../../core/resources/machine.ts';
import { maxVcpusOf, vcpusOf } from '../../../../core/resources/machine-amounts.ts';
import type { WantedCpu } from '../../../hypervisor-host.ts';
import { isAdopted } from '../adoption.ts';
import {
  acceleratorOf,
  type DomainPart,
  type DomainXmlOptions,
  NOT_SET,
  nextStart,
} from '../domain-part.ts';
import { extraAttributes } from '../kept-words.ts';
import type { XmlEditor } from '../xml-editor.ts';
import { element, renderXml, type XmlNode } from '../xml-node.ts';
import { parseXml, type XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement, textOf } from '../xml-query.ts';
import { changeCount, currentOf, readCurrentVcpus, readMaxVcpus, vcpusNode } from './cpu-count.ts';
import { removePins } from './cpu-pins.ts';
import { findGrowingMemory, numaNode } from './growing-memory.ts';

export interface DomainCpu {
  /** The most the domain can have. */
  readonly vcpus: number;
  /** Undefined where libvirt is left the choice. */
  readonly model: string | undefined;
}

export function readCpu(domain: XmlElement): DomainCpu {
  const cpu = findElement(domain, 'cpu');
  const mode = attributeOf(cpu, 'mode');
  const named = mode !== 'host-passthrough' && mode !== 'host-model' && mode !== 'maximum';
  return {
    vcpus: readMaxVcpus(domain),
    model: named ? textOf(findElement(cpu, 'model'))?.trim() : mode,
  };
}

/**
 * What a running domain's CPU really is, byte for byte, for another host's libvirt to compare; undefined where it is the host's own,
 * which says nothing elsewhere.
 */
export function liveCpuOf(source: string, domain: XmlElement): string | undefined {
  const cpu = findElement(domain, 'cpu');
  const isLive = attributeOf(domain, 'id') !== undefined;
  if (cpu === undefined || !isLive || attributeOf(cpu, 'mode') !== 'custom') return undefined;
  return source.slice(cpu.start, cpu.end);
}

/** Whether a text from elsewhere is the description of a CPU and nothing else. */
export function isCpu(text: string): boolean {
  try {
    return parseXml(text).name === 'cpu';
  } catch {
    return false;
  }
}

export const cpuPart: DomainPart = {
  drift: 'cpu',

  effectOf(field, { after } = NOT_SET, sizes) {
    const effect = nextStart('resources.cpu', 'cpu')(field);
    if (field !== 'resources.cpu' || sizes === undefined) return effect;
    const { least, most } = sizes.vcpus;
    const wanted = vcpusOf({ resources: { cpu: String(after), memory: '0' } });
    return wanted >= least && wanted <= most ? 'live' : effect;
  },

  build(machine, options) {
    const model = machine.cpu?.model ?? options.defaultCpuModel;
    const parts = modelParts(model, options.accelerator);
    return {
      domain: [
        element(
          'vcpu',
          { placement: 'static', ...currentOf(machine) },
          String(maxVcpusOf(machine)),
        ),
        vcpusNode(machine),
        element(
          'cpu',
          parts.attributes,
          parts.model,
          topologyNode(machine),
          ...featureNodes(machine.cpu),
          numaNode(machine),
        ),
      ],
    };
  },

  change(editor, domain, machine, { before, defaultCpuModel }) {
    changeCount(editor, domain, machine);
    // Which they are is said at each start.
    const isShared = machine.cpu?.dedicated !== true;
    if (isShared && before?.cpu?.dedicated === true) removePins(editor, domain);
    const cpu = findElement(domain, 'cpu');
    const model = machine.cpu?.model ?? modelForFeatures(domain, machine, defaultCpuModel);
    if (cpu === undefined) addCpu(editor, domain, machine, model);
    else {
      changeModel(editor, domain, cpu, model);
      changeTopology(editor, cpu, machine, before?.cpu);
      changeFeatures(editor, cpu, machine.cpu, before?.cpu);
      changeNuma(editor, domain, cpu, machine);
    }
  },

  read(domain) {
    const cpu = findElement(domain, 'cpu');
    const vcpu = findElement(domain, 'vcpu');
    const { vcpus, model } = readCpu(domain);
    const current = readCurrentVcpus(domain);
    const topology = findElement(cpu, 'topology');
    const sayable = topology && sayableTopology(topology, vcpus);
    const isNamed = model !== undefined && model !== 'maximum';
    const mayHaveMore = vcpus > current;
    return {
      machine: {
        resources: { cpu: String(current) },
        ...((isNamed || sayable !== undefined || mayHaveMore) && {
          cpu: {
            ...(isNamed && { model }),
            ...(mayHaveMore && { max: vcpus }),
            ...(sayable && { topology: sayable }),
          },
        }),
      },
      said: [...childrenOf(domain, 'vcpu'), ...childrenOf(domain, 'cpu')],
      kept: [
        ...extraAttributes(vcpu, { placement: 'static', current: /./ }).map(
          (text) => `vcpu ${text}`,
        ),
        ...extraAttributes(cpu, CPU_ATTRIBUTES).map((text) => `cpu ${text}`),
        ...(model === 'maximum' ? ['cpu mode=maximum'] : []),
        ...(topology !== undefined && sayable === undefined ? ['cpu topology'] : []),
        ...childrenOf(cpu)
          .filter(({ name }) => name !== 'model' && name !== 'topology')
          .map((child) => `cpu ${child.name} ${attributeOf(child, 'name') ?? ''}`.trim()),
      ],
    };
  },
};

/** What is as we would have it, or only libvirt's own. */
const CPU_ATTRIBUTES = { mode: /./, match: 'exact', check: /./, migratable: 'on' } as const;

/** Undefined for one that a machine has no words for. */
function sayableTopology(topology: XmlElement, vcpus: number) {
  const [sockets, cores, threads] = ['sockets', 'cores', 'threads'].map((name) =>
    Number(attributeOf(topology, name)),
  );
  const isFlat = ['dies', 'clusters'].every((name) => (attributeOf(topology, name) ?? '1') === '1');
  if (sockets === undefined || cores === undefined || threads === undefined) return undefined;
  return isFlat && sockets * cores * threads === vcpus ? { sockets, cores, threads } : undefined;
}

/** One socket with all CPUs as cores: several systems are licensed or limited by socket. */
function topologyNode(machine: Machine): XmlNode {
  const { sockets, cores, threads } = machine.cpu?.topology ?? {
    sockets: 1,
    cores: maxVcpusOf(machine),
    threads: 1,
  };
  return element('topology', {
    sockets: String(sockets),
    dies: '1',
    cores: String(cores),
    threads: String(threads),
  });
}

/** Only what is there for memory that grows; the memory's part says where that cannot be. */
function changeNuma(
  editor: XmlEditor,
  domain: XmlElement,
  cpu: XmlElement,
  machine: Machine,
): void {
  const wanted = numaNode(machine);
  const present = findElement(cpu, 'numa');
  if (present === undefined) {
    if (wanted !== undefined) editor.append(cpu, wanted);
    return;
  }
  if (findGrowingMemory(domain) === undefined) return;
  if (wanted === undefined) editor.remove(present);
  else if (!isSameCell(present, wanted)) editor.replace(present, wanted);
}

function isSameCell(numa: XmlElement, wanted: XmlNode): boolean {
  const [cell] = wanted.children;
  const [present, ...others] = childrenOf(numa, 'cell');
  if (cell === undefined || typeof cell === 'string' || others.length > 0) return false;
  return Object.entries(cell.attributes).every(
    ([name, value]) => attributeOf(present, name) === value,
  );
}

function changeTopology(
  editor: XmlEditor,
  cpu: XmlElement,
  machine: Machine,
  before: Machine['cpu'],
): void {
  const wanted = topologyNode(machine);
  const old = findElement(cpu, 'topology');
  // One that the machine leaves open, and that still fits, somebody else has chosen.
  const isOpen =
    machine.cpu?.topology === undefined && before?.topology === undefined && isAdopted(cpu);
  if (old !== undefined && isOpen && placesIn(old) === maxVcpusOf(machine)) return;
  if (old === undefined) {
    if (machine.cpu?.topology !== undefined) editor.append(cpu, wanted);
    return;
  }
  const isSame = Object.entries(wanted.attributes).every(
    // `dies` came with libvirt 6; a domain may be without.
    ([name, value]) => (attributeOf(old, name) ?? '1') === value,
  );
  if (!isSame) editor.replace(old, wanted);
}

function placesIn(topology: XmlElement): number {
  const parts = ['sockets', 'dies', 'clusters', 'cores', 'threads'];
  return parts.reduce((product, name) => product * Number(attributeOf(topology, name) ?? 1), 1);
}

function addCpu(
  editor: XmlEditor,
  domain: XmlElement,
  machine: Machine,
  name: string | undefined,
): void {
  const { topology } = machine.cpu ?? {};
  const features = featureNodes(machine.cpu);
  const numa = numaNode(machine);
  if (name === undefined && topology === undefined && features.length === 0 && !numa) return;
  const parts = name === undefined ? undefined : modelParts(name, acceleratorOf(domain));
  const topologies = topologyNode(machine);
  const children = [parts?.model, topologies, ...features, numa];
  editor.append(domain, element('cpu', parts?.attributes, ...children));
}

/** By name, what libvirt shall do about each. */
function policiesOf(cpu: Machine['cpu']): ReadonlyMap<string, 'require' | 'disable'> {
  return new Map(
    (cpu?.features ?? []).map((feature) => [
      feature.slice(1),
      feature.startsWith('+') ? 'require' : 'disable',
    ]),
  );
}

/** Those that a CPU must have. */
export function requiredFeatures({ features = [] }: WantedCpu): readonly string[] {
  return features.filter((feature) => feature.startsWith('+')).map((feature) => feature.slice(1));
}

function featureNodes(cpu: Machine['cpu']): readonly XmlNode[] {
  return Array.from(policiesOf(cpu), ([name, policy]) => element('feature', { policy, name }));
}

/** Others stay that the machine has never named: libvirt's own, such as `hypervisor` of what has run, and those of another maker. */
function changeFeatures(
  editor: XmlEditor,
  cpu: XmlElement,
  wanted: Machine['cpu'],
  before: Machine['cpu'],
): void {
  const policies = policiesOf(wanted);
  const present = new Map(
    childrenOf(cpu, 'feature').map((one) => [attributeOf(one, 'name') ?? '', one]),
  );
  for (const [name, policy] of policies) {
    const old = present.get(name);
    if (old === undefined) editor.append(cpu, element('feature', { policy, name }));
    else if (attributeOf(old, 'policy') !== policy) editor.setAttribute(old, 'policy', policy);
  }
  for (const name of policiesOf(before).keys()) {
    const old = present.get(name);
    if (old !== undefined && !policies.has(name)) editor.remove(old);
  }
}

/** libvirt takes features with a model alone, and a domain of another maker may have none. */
function modelForFeatures(
  domain: XmlElement,
  { cpu }: Machine,
  defaultModel: string | undefined,
): string | undefined {
  const isNeeded = policiesOf(cpu).size > 0 && readCpu(domain).model === undefined;
  return isNeeded ? defaultModel : undefined;
}

/** A model of which nothing is wanted stays: the guest has it already. */
function changeModel(
  editor: XmlEditor,
  domain: XmlElement,
  cpu: XmlElement,
  wanted: string | undefined,
): void {
  if (wanted === undefined || wanted === readCpu(domain).model) return;
  const { attributes, model } = modelParts(wanted, acceleratorOf(domain));
  // `check` was libvirt's answer for the old model; it gives a new one.
  for (const name of ['match', 'check', 'migratable']) {
    if (attributes[name] === undefined) editor.removeAttribute(cpu, name);
  }
  for (const [name, value] of Object.entries(attributes)) editor.setAttribute(cpu, name, value);
  const oldModel = findElement(cpu, 'model');
  if (oldModel !== undefined && model !== undefined) editor.replace(oldModel, model);
  else if (oldModel !== undefined) editor.remove(oldModel);
  else if (model !== undefined) editor.append(cpu, model);
}

const NEEDS_KVM = 'this node runs VMs without KVM; name a model such as qemu64';

/** A CPU of a model as libvirt can be asked about it; undefined where there is nothing to ask. */
export function findCpuXml(
  model: string,
  { features }: WantedCpu,
  accelerator: DomainXmlOptions['accelerator'],
): { readonly xml: string } | { readonly problem: string } | undefined {
  const nodes = featureNodes({ features });
  if (isOfHost(model)) {
    if (accelerator === 'tcg') return { problem: NEEDS_KVM };
    if (nodes.length === 0) return undefined;
  }
  const parts = modelParts(model, accelerator);
  return { xml: renderXml(element('cpu', parts.attributes, parts.model, ...nodes)) };
}

function isOfHost(model: string): boolean {
  return model === 'host-passthrough' || model === 'host-model';
}

/** The attributes of <cpu> and its <model>, which only a named model has. */
function modelParts(
  model: string,
  accelerator: DomainXmlOptions['accelerator'],
): { readonly attributes: Readonly<Record<string, string>>; readonly model: XmlNode | undefined } {
  if (!isOfHost(model)) {
    const named = element('model', { fallback: 'forbid' }, model);
    return { attributes: { mode: 'custom', match: 'exact' }, model: named };
  }
  if (accelerator === 'tcg') {
    throw new AgentError('CPU_INCOMPATIBLE', `Cannot use the CPU model ${model}: ${NEEDS_KVM}`);
  }
  const migratable = model === 'host-passthrough' ? { migratable: 'on' } : {};
  return { attributes: { mode: model, ...migratable }, model: undefined };
}
