import { hasEnded, type OperationKind, type OperationRecord } from '../operations/operation.ts';
import type { OperationBook } from '../operations/operation-book.ts';
import { WAITING_FOR_GUEST } from '../vms/power-steps.ts';
import type { RequestBehind } from './run-record.ts';

/** What has a guest asked to power off. */
const POWER_OFFS: readonly OperationKind[] = ['shutdown', 'restart'];
/** What asks for a VM that runs, whatever was asked for before. */
const ONS: readonly OperationKind[] = ['start', 'restart', 'reset', 'reboot'];
/** What leaves its power as it is. */
const STANDING_STILL: readonly OperationKind[] = ['suspend', 'resume'];
/** A guest that has not powered off within so long after it was asked does so for reasons of its own. */
const HEEDED_WITHIN_MS = 300_000;

/** What was asked for of the power of VMs, and what came of it: by the journal, and so whichever agent was asked. */
export class PowerRequests {
  readonly #book: Pick<OperationBook, 'openOf' | 'listOpen' | 'lastEnded' | 'lastStanding'>;

  constructor(book: Pick<OperationBook, 'openOf' | 'listOpen' | 'lastEnded' | 'lastStanding'>) {
    this.#book = book;
  }

  /** Whether something is being done to a VM, or is about to be. */
  isBusy(vmUid: string): boolean {
    return this.#book.openOf(vmUid).length > 0;
  }

  /** Whether its guest was asked to power off and is waited for. */
  isShuttingDown(vmUid: string): boolean {
    return this.#book
      .openOf(vmUid)
      .some(({ kind, step }) => POWER_OFFS.includes(kind) && step === WAITING_FOR_GUEST);
  }

  /** Whether it is about to be started. */
  isStarting(vmUid: string): boolean {
    return this.#book.openOf(vmUid).some(({ kind }) => kind === 'start' || kind === 'restart');
  }

  /** How many starts of somebody go on. */
  countStarts(requestedBy: string): number {
    return this.#book
      .listOpen()
      .filter((operation) => operation.kind === 'start' && operation.requestedBy === requestedBy)
      .length;
  }

  /** The last start that has ended; undefined if none is remembered. */
  lastStart(vmUid: string): OperationRecord | undefined {
    return this.#book.lastEnded(vmUid).find(({ kind }) => kind === 'start');
  }

  /** The request that has ended a run which began then, if one has. */
  behind(
    vmUid: string,
    verb: 'shutdown' | 'destroy',
    runSinceMs: number,
  ): RequestBehind | undefined {
    const open = this.#book.openOf(vmUid);
    const going = open.find(
      ({ kind, startedAtMs }) => (kind === verb || kind === 'restart') && startedAtMs !== undefined,
    );
    if (going !== undefined) return { by: going.requestedBy, isSuperseded: false };
    // In the order in which they came: a clock may be put back.
    const ended = this.#book.lastEnded(vmUid);
    const kinds = verb === 'shutdown' ? POWER_OFFS : [verb];
    const index = ended.findLastIndex(({ kind }) => kinds.includes(kind));
    const last = ended[index];
    if (last === undefined || last.requestedAtMs < runSinceMs || !wasTaken(last)) return undefined;
    // A restart that was given up has asked for a start all the same.
    const isSuperseded = [...ended.slice(index), ...open].some(({ kind }) => ONS.includes(kind));
    if (isSuperseded && !mayStillBeHeeded(last)) return undefined;
    return { by: last.requestedBy, isSuperseded };
  }

  /** Whether somebody has asked since then that it stand still, and nobody has let it go on. */
  isHeldSince(vmUid: string, sinceMs: number): boolean {
    const last = this.#book.lastStanding(vmUid);
    return last?.kind === 'suspend' && (last.endedAtMs ?? 0) >= sinceMs;
  }

  /** Whether the last that was asked for is that it power off, and it has not. */
  ignoresShutdown(vmUid: string): boolean {
    const ended = this.#book.lastEnded(vmUid);
    const last = ended.findLast(({ kind }) => !STANDING_STILL.includes(kind));
    return last?.kind === 'shutdown' && last.state !== 'succeeded';
  }
}

/** Whether a guest that powers off may do so because of this shutdown, though a start has come since. */
function mayStillBeHeeded({ state, endedAtMs = 0 }: OperationRecord): boolean {
  return state !== 'succeeded' && Date.now() - endedAtMs <= HEEDED_WITHIN_MS;
}

/** Whether the guest or the hypervisor may have been told. */
function wasTaken(operation: OperationRecord): boolean {
  if (!hasEnded(operation) || operation.startedAtMs === undefined) return false;
  return operation.state !== 'failed' || operation.error?.reason === 'GUEST_DID_NOT_STOP';
}
