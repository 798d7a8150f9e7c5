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

/** The lock of a VM until it is disposed. Fails with VM_BUSY. */
export async function lockVm(
  locks: KeyLocks,
  vm: Pick<VmDefinition, 'name' | 'uid'>,
  /** What whoever wants to do it cannot, as in "Cannot migrate", and what others are told is in progress. */
  { verb, purpose = verb }: { readonly verb: string; readonly purpose?: string },
  signal: AbortSignal,
): Promise<Disposable> {
  const lock = await locks.acquire(vm.uid, purpose, signal);
  if (lock !== undefined) return lock;
  throw busy(verb, vm, locks);
}
