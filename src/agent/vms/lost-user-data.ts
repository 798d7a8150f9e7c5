import { hasReason } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import { USER_DATA_FILE } from '../../core/user-data.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDomains } from '../../drivers/hypervisor-domains.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import { lockVm } from './busy.ts';
import type { WantedParts } from './wanted-user-data.ts';

interface Parts {
  readonly domains: Pick<HypervisorDomains, 'find'>;
  readonly privateFiles: Pick<PrivateFiles, 'put' | 'read'>;
  readonly locks: KeyLocks;
}

/**
 * Puts user data that are given once more back if they were lost: by a disk, or because a VM came to be after its creation was
 * undone. Fails with VM_BUSY if another operation of the VM keeps it from that.
 */
export async function restoreUserData(
  definition: VmDefinition,
  userData: WantedParts['userData'],
  { domains, privateFiles, locks }: Parts,
  signal: AbortSignal,
): Promise<void> {
  const { uid, privateFiles: files } = definition;
  const digest = files[USER_DATA_FILE];
  if (userData === undefined || digest === undefined) return;
  try {
    await privateFiles.read(uid, USER_DATA_FILE, digest, signal);
  } catch (error) {
    if (!hasReason(error, 'JOURNAL_FAILURE')) throw error;
    using _lock = await lockVm(
      locks,
      definition,
      { verb: 'restore the user data of', purpose: 'restoring its user data' },
      signal,
    );
    // Files of a VM that has gone meanwhile would stay for ever.
    if ((await domains.find(uid, signal)) === undefined) return;
    await privateFiles.put(uid, USER_DATA_FILE, userData, signal);
  }
}
