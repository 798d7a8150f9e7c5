import type { RunEndCause } from '../../../../src/agent/runs/run-ends.ts';
import type { RunRecord } from '../../../../src/agent/runs/run-record.ts';
import type { VmContext } from '../../../../src/agent/vms/vm-phase.ts';

/** Of a VM to which nothing is done. */
export function vmContext(changes: Partial<VmContext> = {}): VmContext {
  return {
    migration: undefined,
    isShuttingDown: false,
    isBusy: false,
    ignoresShutdown: false,
    run: undefined,
    restart: undefined,
    isNodeGoingDown: false,
    startProblem: undefined,
    unconfirmed: undefined,
    ...changes,
  };
}

/** Of a VM that is off for this cause since noon. */
export function runEnded(cause: RunEndCause, by = ''): RunRecord {
  const atMs = Date.UTC(2026, 0, 2, 12);
  return { uid: 'u', bootId: 'boot', isOn: false, sinceMs: atMs, end: { cause, by, atMs } };
}
