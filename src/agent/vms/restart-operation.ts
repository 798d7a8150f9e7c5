import type { OperationRecord } from '../operations/operation.ts';
import type { OperationWork, StepResult } from '../operations/operation-work.ts';
import { GuestPowerOffs, guestDidNot, type PowerOff } from './guest-power-off.ts';
import { stepOf } from './hook-steps.ts';
import { WAITING_FOR_GUEST } from './power-steps.ts';
import type { PreStops } from './pre-stops.ts';
import type { VmManager } from './vm-manager.ts';
import { isOff } from './vm-phase.ts';
import type { VmStarts } from './vm-starts.ts';

export interface RestartOptions {
  readonly vms: Pick<VmManager, 'get' | 'stopToRestart'>;
  readonly admit: OperationWork['admit'];
  readonly preStops: PreStops;
  readonly starts: VmStarts;
}

/** What the names of the steps end with that start a VM which was on. */
const AGAIN = '-again';
const STARTS = ['', AGAIN].map((again) => ({
  again,
  steps: [`starting${again}`, stepOf('preStart', again), stepOf('postStart', again)],
}));

export function restartWork({ vms, admit, preStops, starts }: RestartOptions): OperationWork {
  const powerOffs = new GuestPowerOffs({
    get: (ref, signal) => vms.get(ref, signal),
    ask: (ref, signal) => vms.stopToRestart(ref, 'ask', signal),
  });
  const stop = async (
    operation: OperationRecord,
    signal: AbortSignal,
    waitedMs: number,
  ): Promise<PowerOff> => {
    const { vm: ref, parameters } = operation;
    const isForced = parameters['force'] === true;
    const { phase } = await vms.get(ref, signal);
    // Its guest cannot hear.
    const isCut = isForced && phase === 'paused';
    if (!isCut) {
      const seen = await powerOffs.look(operation, signal, waitedMs);
      if (!isForced || seen.kind !== 'late') return seen;
    }
    return { kind: 'off', vm: await vms.stopToRestart(ref, 'cut', signal) };
  };
  return {
    firstStep: 'asking-guest',
    admit,
    async step(operation, signal, waitedMs): Promise<StepResult> {
      const { vm: ref, step, startedAtMs } = operation;
      const starting = STARTS.find(({ steps }) => steps.includes(step));
      if (starting !== undefined) {
        return await startStopped(starts, operation, starting.again, signal);
      }
      const isFresh = step !== WAITING_FOR_GUEST && startedAtMs === undefined;
      const wasOff = isFresh && isOff(await vms.get(ref, signal));
      const before = await preStops.step(operation, signal);
      if (before !== undefined) return before;
      const seen = await stop(operation, signal, waitedMs);
      if (seen.kind === 'waiting') return seen.result;
      if (seen.kind === 'on-again') {
        return { isDone: true, result: 'RESTARTED', details: seen.vm };
      }
      if (seen.kind === 'off') {
        const next = `starting${wasOff ? '' : AGAIN}`;
        return { isDone: false, step: next, again: { afterMs: 0 } };
      }
      throw guestDidNot(
        operation,
        'power off',
        `it is then started again; ask again with a longer time-out, or with --force to have its power cut if it does not`,
      );
    },
    /** Nobody waits for the guest any more; should it power off, it is started again. */
    async undo() {},
  };
}

async function startStopped(
  starts: VmStarts,
  operation: OperationRecord,
  again: string,
  signal: AbortSignal,
): Promise<StepResult> {
  const taken = await starts.step(operation, signal, { again });
  if (taken.kind === 'waiting') return taken.result;
  const { vm: details, warnings } = taken;
  return { isDone: true, result: again === '' ? 'STARTED' : 'RESTARTED', details, warnings };
}
