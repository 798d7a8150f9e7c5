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

interface LockWords {
  /** What whoever wants it cannot do, as in "Cannot migrate". */
  readonly verb: string;
  /** What others are told is in progress, if that is said in other words. */
  readonly purpose?: string;
  /** Nobody has asked for it. */
  readonly isByItself?: boolean;
}

/** The lock of a VM until it is disposed. What was seen of the VM before may be outdated. Fails with VM_BUSY. */
export async function lockVm(
  locks: KeyLocks,
  vm: Pick<VmDefinition, 'name' | 'uid'>,
  words: LockWords,
  signal: AbortSignal,
): Promise<Disposable> {
  await locks.untilNotByItself(vm.uid, signal);
  return lockNow(locks, vm, words);
}

/** The same without a wait, for who has seen to that. */
export function lockNow(
  locks: KeyLocks,
  vm: Pick<VmDefinition, 'name' | 'uid'>,
  { verb, purpose = verb, isByItself = false }: LockWords,
): Disposable {
  const lock = locks.tryAcquire(vm.uid, purpose, { isByItself });
  if (lock !== undefined) return lock;
  throw busy(verb, vm, locks);
}
