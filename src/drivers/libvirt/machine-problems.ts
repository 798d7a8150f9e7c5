import { enlightenmentsOf } from '../../core/resources/enlightenments.ts';
import type { MachineParts, MachineProblem } from '../hypervisor-host.ts';
import { lists } from './domain-capabilities.ts';
import { parseXml } from './domain-xml/xml-parser.ts';
import { findElement } from './domain-xml/xml-query.ts';

/** What a host says of itself; empty where it says nothing, or was not asked. */
export interface MachineFacts {
  readonly libvirtVersion: string;
  /** libvirt's domain capabilities (formatdomaincaps) for KVM. */
  readonly capabilities: string;
  readonly hasVsock: boolean;
}

/** What of a machine a host does not have. Nothing is said where that says nothing. */
export function machineProblems(
  machine: MachineParts,
  { libvirtVersion, capabilities, hasVsock }: MachineFacts,
): readonly MachineProblem[] {
  const problems: MachineProblem[] = [];
  const [major = 0, minor = 0] = libvirtVersion.split('.').map(Number);
  const isOlderThan = (version: number) => libvirtVersion !== '' && major * 1000 + minor < version;
  if (machine.watchdog?.model === 'itco' && isOlderThan(9001)) {
    problems.push({
      field: 'watchdog.model',
      description: `is itco, which libvirt knows since 9.1, and this node has ${libvirtVersion}; take i6300esb, or upgrade libvirt there`,
    });
  }
  if (machine.memory?.max !== undefined && isOlderThan(7009)) {
    problems.push({
      field: 'memory.max',
      description: `needs virtio-mem, which libvirt knows since 7.9, and this node has ${libvirtVersion}; leave it out, or upgrade libvirt there`,
    });
  }
  if (machine.vsock !== undefined && !hasVsock) {
    problems.push({
      field: 'vsock',
      description:
        'needs /dev/vhost-vsock, which this node does not have; load the module there (modprobe vhost_vsock) if its kernel has it, choose another node, or leave it out',
    });
  }
  const lacking = lackingEnlightenments(machine, capabilities);
  if (lacking.length > 0) {
    problems.push({
      field: 'hyperv',
      description: `needs ${lacking.join(', ')}, which KVM of this node does not give; name others in hyperv.features, choose another node, or set hyperv.enabled to false`,
    });
  }
  return problems;
}

function lackingEnlightenments(machine: MachineParts, capabilities: string): readonly string[] {
  if (capabilities === '') return [];
  const given = findElement(parseXml(capabilities), 'features', 'hyperv');
  // Older libvirts say nothing of them.
  if (given === undefined) return [];
  return (enlightenmentsOf(machine) ?? []).filter((name) => !lists(given, 'features', name));
}
