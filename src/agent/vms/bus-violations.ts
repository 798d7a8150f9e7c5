import type { Machine } from '../../core/resources/machine.ts';
import type { HypervisorHost } from '../../drivers/hypervisor-host.ts';
import { MACHINE, type SpecViolation } from './file-violations.ts';

/** Volumes on a bus that not every hypervisor has, and this node's does not. */
export async function busViolations(
  { volumes = [] }: Machine,
  host: Pick<HypervisorHost, 'listDiskBuses' | 'getInfo'>,
  signal: AbortSignal,
): Promise<readonly SpecViolation[]> {
  if (!volumes.some(({ bus }) => bus === 'nvme')) return [];
  const buses = await host.listDiskBuses(signal);
  if (buses === undefined || buses.includes('nvme')) return [];
  const { libvirtVersion } = await host.getInfo(signal);
  const description = `is nvme, which libvirt ${libvirtVersion} of this node does not have (it came with 11.5); choose virtio or scsi, or another node`;
  return volumes.flatMap(({ bus }, index) => {
    if (bus !== 'nvme') return [];
    const field = `${MACHINE}.volumes[${index}].bus`;
    return { field, description, reason: 'FEATURE_NOT_SUPPORTED' as const };
  });
}
