import { AgentError } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';

/** What is said to somebody who comes while another operation of the VM is in progress. */
export function busy(
  purpose: string,
  { name, uid }: Pick<VmDefinition, 'name' | 'uid'>,
  locks: KeyLocks,
): AgentError {
  const other = locks.purposeOf(uid) ?? 'another operation';
  return new AgentError(
    'VM_BUSY',
    `Cannot ${purpose} VM ${name}: ${other} is in progress; try again when it has ended`,
    { metadata: { vmId: uid }, retryAfterMs: 1_000 },
  );
}

/** The lock of a VM until it is disposed. Fails with VM_BUSY. */
export function lockVm(locks: KeyLocks, vm: VmDefinition, purpose: string): Disposable {
  const lock = locks.tryAcquire(vm.uid, purpose);
  if (lock !== undefined) return lock;
  throw busy(purpose, vm, locks);
}
