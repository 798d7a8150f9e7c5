import { runStrategyOf, startsAtOnce } from '../../core/resources/run-strategy.ts';
import { hasStartHooks } from '../hooks/vm-hooks.ts';
import type { OperationRecord } from '../operations/operation.ts';
import { endKind } from '../runs/run-ends.ts';
import type { ApplyResult, CreateResult, Vm } from './vm.ts';
import { isGivenStart } from './vm-manager.ts';
import { isOff } from './vm-phase.ts';

/** Whether the VM was made by an operation, in this step of it or an earlier one. */
export function isMadeBy({ requestedAtMs }: OperationRecord, { definition }: Vm): boolean {
  return definition.createdAtMs >= requestedAtMs;
}

/** Whether it shall be on and has not run since it was defined, or since libvirt was restarted, as far as anybody can tell. */
export function awaitsStart({ definition, phase, reason, run }: Vm): boolean {
  if (definition.intent !== 'on') return false;
  if (phase === 'paused') return reason === 'StartingUp';
  const cause = run?.end?.cause ?? '';
  return phase === 'stopped' && ['never-started', 'no-record', 'daemon-restarted'].includes(cause);
}

/** The same of a VM that is new: what looks like the end of a run may be that of a start which libvirt did not survive. */
export function mayAwaitStart(vm: Vm): boolean {
  const { definition, phase, run } = vm;
  const isFailure = run?.end === undefined || endKind(run.end.cause).isFailure;
  const mayHaveFailed = phase === 'unknown' || (isOff({ phase }) && isFailure);
  return awaitsStart(vm) || (definition.intent === 'on' && mayHaveFailed);
}

/** Whether the operation that has made a VM is still to start it, because there are hooks to be run at that. */
export function startsMade(operation: OperationRecord, { vm }: CreateResult): boolean {
  const { definition } = vm;
  if (!hasStartHooks(definition) || definition.intent !== 'on') return false;
  if (!isMadeBy(operation, vm)) return false;
  // An agent that was killed may have started it, which has hooks to be run after that.
  return operation.startedAtMs === undefined || mayAwaitStart(vm) || !isOff(vm);
}

/** The same of one that was applied, and may have been there. */
export function startsApplied(operation: OperationRecord, applied: ApplyResult): boolean {
  const { vm, outcome } = applied;
  const { definition } = vm;
  if (outcome === 'created') return startsMade(operation, applied);
  if (!hasStartHooks(definition) || outcome === 'unchanged') return false;
  if (operation.startedAtMs === undefined) return isGivenStart(applied);
  return awaitsStart(vm) && startsAtOnce(runStrategyOf(definition.spec));
}
