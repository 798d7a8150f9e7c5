import type { Machine } from '../../core/resources/machine.ts';
import type { HypervisorHost } from '../../drivers/hypervisor-host.ts';
import { MACHINE, type SpecViolation } from './file-violations.ts';

/** Volumes that are encrypted where the hypervisor of this node has no place for their keys. */
export async function encryptionViolations(
  { volumes = [] }: Machine,
  host: Pick<HypervisorHost, 'keepsDiskKeys'>,
  signal: AbortSignal,
): Promise<readonly SpecViolation[]> {
  const isAsked = volumes.some(({ encryption }) => encryption !== undefined);
  if (!isAsked || (await host.keepsDiskKeys(signal))) return [];
  const description =
    "needs libvirt's driver for secrets, which this node does not have; install it (Debian: libvirt-daemon; where libvirt is split into daemons: virtsecretd) and restart libvirt, or choose another node";
  return volumes.flatMap(({ encryption }, index) => {
    if (encryption === undefined) return [];
    const field = `${MACHINE}.volumes[${index}].encryption`;
    return { field, description, reason: 'FEATURE_NOT_SUPPORTED' as const };
  });
}
