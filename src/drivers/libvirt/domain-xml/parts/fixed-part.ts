import { hasSeed } from '../../../../core/resources/has-seed.ts';
import type { Machine } from '../../../../core/resources/machine.ts';
import { busOf } from '../../../../core/resources/volume.ts';
import type { DomainPart, DomainXmlOptions } from '../domain-part.ts';
import { element, type XmlNode } from '../xml-node.ts';
import { hasDisplay } from './display-part.ts';
import { hypervNode } from './hyperv-part.ts';
import { GUEST_AGENT_CHANNEL, readUsual } from './read-usual.ts';
import { seedBusOf } from './seed-disk.ts';

/** PCIe ports left free, so that devices can be attached to a running VM. */
const SPARE_PCIE_PORTS = 4;

/** What every domain of ours gets, whatever its machine. Once made it stays as it is. */
export const fixedPart: DomainPart = {
  effectOf: (field) =>
    field === 'console' || field.startsWith('console.') ? 'next-start' : undefined,

  build(machine, options) {
    return {
      domain: [
        element(
          'features',
          {},
          element('acpi'),
          element('apic'),
          element('vmport', { state: 'off' }),
          hypervNode(machine, options),
        ),
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
      ],
      devices: deviceNodes(machine, options),
    };
  },

  change() {},

  read: readUsual,
};

function deviceNodes(machine: Machine, options: DomainXmlOptions): readonly XmlNode[] {
  return [
    ...pcieNodes(machine, options),
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
      element('target', { type: 'virtio', name: GUEST_AGENT_CHANNEL }),
    ),
    element('rng', { model: 'virtio' }, element('backend', { model: 'random' }, '/dev/urandom')),
    // Reports a guest's panic. `isa` is libvirt's word for QEMU's pvpanic device.
    element('panic', { model: 'isa' }),
  ];
}

/** Ports for every device on the bus and some spare ones; libvirt makes only as many as it needs at once. */
function pcieNodes(machine: Machine, options: DomainXmlOptions): readonly XmlNode[] {
  const type = machine.machineType ?? options.defaultMachineType;
  if (!/^(pc-)?q35(-|$)/.test(type)) return [];
  const buses = (machine.volumes ?? []).map(busOf);
  if (hasSeed(machine)) buses.push(seedBusOf(machine));
  const virtioDisks = buses.filter((bus) => bus === 'virtio').length;
  const scsiControllers = buses.includes('scsi') ? 1 : 0;
  const ofDisplay = hasDisplay(machine) ? 2 : 0; // graphics card, USB
  const others = 3; // virtio-serial, balloon, random numbers
  const chosen = [machine.watchdog, machine.vsock].filter((one) => one !== undefined).length;
  const interfaces = (machine.networks ?? []).length;
  const ports =
    virtioDisks + scsiControllers + interfaces + ofDisplay + others + chosen + SPARE_PCIE_PORTS;
  return [
    element('controller', { type: 'pci', index: '0', model: 'pcie-root' }),
    ...Array.from({ length: ports }, (_, index) =>
      element('controller', { type: 'pci', index: String(index + 1), model: 'pcie-root-port' }),
    ),
  ];
}
