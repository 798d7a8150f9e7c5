import { AgentError } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';

/** What is said to somebody who comes while another operation of the VM is in progress. */
function busy(
  purpose: string,
  { name, uid }: Pick<VmDefinition, 'name' | 'uid'>,
  locks: KeyLocks,
): AgentError {
  const other = locks.purposeOf(uid) ?? 'another operation';
  const advice = locks.adviceOf(uid);
  const usual = other.startsWith('migration ')
    ? `try again when it has ended, or cancel it on the node that the VM leaves: novactl migration cancel ${other.slice('migration '.length)}`
    : 'try again when it has ended';
  const end = advice === undefined ? `; ${usual}` : `. ${advice}`;
  return new AgentError('VM_BUSY', `Cannot ${purpose} VM ${name}: ${other} is in progress${end}`, {
    metadata: { vmId: uid },
    retryAfterMs: 1_000,
  });
}

/** The lock of a VM until it is disposed, for `lockAs` if that is not what is said of it. Fails with VM_BUSY. */
export async function lockVm(
  locks: KeyLocks,
  vm: Pick<VmDefinition, 'name' | 'uid'>,
  purpose: string,
  signal: AbortSignal,
  lockAs = purpose,
): Promise<Disposable> {
  const lock = await locks.acquire(vm.uid, lockAs, signal);
  if (lock !== undefined) return lock;
  throw busy(purpose, vm, locks);
}
