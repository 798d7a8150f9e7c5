import { AgentError } from '../../../core/errors.ts';
import type { CpuSpec, VmDefinition, VmSpec } from '../../../core/vm-spec.ts';
import { bootNodes, firmwareAttribute } from './boot-nodes.ts';
import { diskNode, scsiControllerNode } from './disk-node.ts';
import { metadataNode } from './metadata.ts';
import { argumentNodes, oddRamArguments, QEMU_NAMESPACE } from './odd-ram-size.ts';
import { element, renderXml, type XmlNode } from './xml-node.ts';

export interface DomainXmlOptions {
  readonly accelerator: 'kvm' | 'tcg';
  readonly defaultMachineType: string;
  readonly defaultCpuModel: string;
  /** File that the first serial console is logged to. */
  readonly consoleLogPath: string;
  /** Needed under TCG with QEMU before 9.0, which otherwise loses dirty pages in a migration. */
  readonly oddRamSize: boolean;
  /** QEMU's path; undefined leaves the choice to libvirt. */
  readonly emulator?: string;
}

/** PCIe ports left free, so that devices can be attached to a running VM. */
const SPARE_PCIE_PORTS = 4;

/** The XML of a domain that is to be defined anew. Fails with INVALID_SPEC for values that XML cannot carry. */
export function buildDomainXml(definition: VmDefinition, options: DomainXmlOptions): string {
  const { spec } = definition;
  const kib = String(memoryKib(spec));
  const odd = options.oddRamSize && options.accelerator === 'tcg';
  const domain = element(
    'domain',
    {
      type: options.accelerator === 'kvm' ? 'kvm' : 'qemu',
      'xmlns:qemu': odd ? QEMU_NAMESPACE : undefined,
    },
    element('name', {}, `${definition.namespace}_${definition.name}`),
    element('uuid', {}, definition.uid),
    element('metadata', {}, metadataNode(definition)),
    element('memory', { unit: 'KiB' }, kib),
    element('currentMemory', { unit: 'KiB' }, kib),
    element('vcpu', { placement: 'static' }, String(spec.cpu.vcpus)),
    osNode(spec, options),
    element('features', {}, element('acpi'), element('apic'), element('vmport', { state: 'off' })),
    cpuNode(spec.cpu, options),
    clockNode(options),
    element('on_poweroff', {}, 'destroy'),
    element('on_reboot', {}, 'restart'),
    // Frees the memory of a crashed guest; libvirt still says "shut off (crashed)".
    element('on_crash', {}, 'destroy'),
    // A guest that puts itself to sleep would count as neither running nor stopped.
    element(
      'pm',
      {},
      element('suspend-to-mem', { enabled: 'no' }),
      element('suspend-to-disk', { enabled: 'no' }),
    ),
    devicesNode(spec, options),
    odd
      ? element('qemu:commandline', {}, ...argumentNodes(oddRamArguments(memoryKib(spec))))
      : undefined,
  );
  return `${renderXml(domain)}\n`;
}

/** Guest memory in KiB. libvirt rounds up to MiB by itself, and what it starts must be what was asked. */
export function memoryKib(spec: VmSpec): number {
  const kib = spec.memory.sizeBytes / 1024;
  if (!Number.isSafeInteger(kib) || kib <= 0 || kib % 1024 !== 0) {
    throw new AgentError(
      'INVALID_SPEC',
      `Cannot give the VM ${spec.memory.sizeBytes} bytes of memory: the size must be a multiple of 1 MiB`,
    );
  }
  return kib;
}

function osNode(spec: VmSpec, options: DomainXmlOptions): XmlNode {
  const machine = spec.machineType ?? options.defaultMachineType;
  return element(
    'os',
    { firmware: firmwareAttribute(spec.boot) },
    element('type', { arch: 'x86_64', machine }, 'hvm'),
    ...bootNodes(spec.boot),
  );
}

/** One socket with all CPUs as cores: several systems are licensed or limited by socket. */
export function topologyNode(vcpus: number): XmlNode {
  return element('topology', { sockets: '1', dies: '1', cores: String(vcpus), threads: '1' });
}

function cpuNode(cpu: CpuSpec, options: DomainXmlOptions): XmlNode {
  const { attributes, model } = cpuModelParts(cpu.model ?? options.defaultCpuModel, options);
  return element('cpu', attributes, model, topologyNode(cpu.vcpus));
}

/** The attributes of <cpu> and its <model>, which only a named model has. */
export function cpuModelParts(
  model: string,
  options: Pick<DomainXmlOptions, 'accelerator'>,
): { readonly attributes: Readonly<Record<string, string>>; readonly model: XmlNode | undefined } {
  if (model !== 'host-passthrough' && model !== 'host-model') {
    const named = element('model', { fallback: 'forbid' }, model);
    return { attributes: { mode: 'custom', match: 'exact' }, model: named };
  }
  if (options.accelerator === 'tcg') {
    throw new AgentError(
      'FEATURE_NOT_SUPPORTED',
      `Cannot use the CPU model ${model}: this node runs VMs without KVM; name a model such as qemu64`,
    );
  }
  const migratable = model === 'host-passthrough' ? { migratable: 'on' } : {};
  return { attributes: { mode: model, ...migratable }, model: undefined };
}

function clockNode(options: DomainXmlOptions): XmlNode {
  if (options.accelerator === 'tcg') return element('clock', { offset: 'utc' });
  // With KVM's own clock the HPET only costs wake-ups.
  return element(
    'clock',
    { offset: 'utc' },
    element('timer', { name: 'rtc', tickpolicy: 'catchup' }),
    element('timer', { name: 'pit', tickpolicy: 'delay' }),
    element('timer', { name: 'hpet', present: 'no' }),
  );
}

function devicesNode(spec: VmSpec, options: DomainXmlOptions): XmlNode {
  const emulator =
    options.emulator === undefined ? undefined : element('emulator', {}, options.emulator);
  return element(
    'devices',
    {},
    emulator,
    ...spec.disks.map(diskNode),
    element('controller', { type: 'usb', index: '0', model: 'none' }),
    spec.disks.some((disk) => disk.bus === 'scsi') ? scsiControllerNode() : undefined,
    ...pcieNodes(spec, options),
    element(
      'serial',
      { type: 'pty' },
      element('log', { file: options.consoleLogPath, append: 'on' }),
      element('target', { type: 'isa-serial', port: '0' }),
    ),
    element('console', { type: 'pty' }, element('target', { type: 'serial', port: '0' })),
    // For the guest agent, which freezes file systems for a consistent backup. Idle until someone asks.
    element(
      'channel',
      { type: 'unix' },
      element('target', { type: 'virtio', name: 'org.qemu.guest_agent.0' }),
    ),
    element('video', {}, element('model', { type: 'none' })),
    // Without a statistics period: polling every guest would cost each of them its wake-ups.
    element('memballoon', { model: 'virtio', autodeflate: 'on' }),
    element('rng', { model: 'virtio' }, element('backend', { model: 'random' }, '/dev/urandom')),
    // Reports a guest's panic. `isa` is libvirt's word for QEMU's pvpanic device.
    element('panic', { model: 'isa' }),
  );
}

/** Ports for every device on the bus and some spare ones; libvirt makes only as many as it needs at once. */
function pcieNodes(spec: VmSpec, options: DomainXmlOptions): readonly XmlNode[] {
  const machine = spec.machineType ?? options.defaultMachineType;
  if (!/^(pc-)?q35(-|$)/.test(machine)) return [];
  const virtioDisks = spec.disks.filter((disk) => disk.bus === 'virtio').length;
  const scsiControllers = spec.disks.some((disk) => disk.bus === 'scsi') ? 1 : 0;
  const others = 3; // virtio-serial, balloon, random numbers
  const ports = virtioDisks + scsiControllers + others + SPARE_PCIE_PORTS;
  return [
    element('controller', { type: 'pci', index: '0', model: 'pcie-root' }),
    ...Array.from({ length: ports }, (_, index) =>
      element('controller', { type: 'pci', index: String(index + 1), model: 'pcie-root-port' }),
    ),
  ];
}
