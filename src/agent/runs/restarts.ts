import { AgentError } from '../../core/errors.ts';
import type { OperationRecord } from '../operations/operation.ts';
import { lackOf } from './lack.ts';
import type { PowerRequests } from './power-requests.ts';
import type { Lack, RestartReport } from './restart-report.ts';

export interface RestartsOptions {
  /** Before the first restart; each later one waits twice as long. Default 3 s. */
  readonly firstDelayMs?: number | undefined;
  readonly requests: Pick<PowerRequests, 'lastStart'>;
  /** Called when there is something new to be told of a VM. */
  readonly onChange: () => void;
}

interface Restart {
  /** How long the one that is planned waits, or the last one has waited. */
  readonly delayMs: number;
  /** When it is, or was, due, by the clock that nobody sets. */
  readonly dueAtMs: number;
  readonly plannedAtMs: number;
  /** When it is due by the clock of people. */
  readonly nextStartMs: number;
  /** It has not begun yet. */
  readonly isPlanned: boolean;
  readonly attempts: number;
  readonly failedStarts: number;
  readonly lastFailure: string;
  readonly lack: Lack | undefined;
  /** Id of the last start that has been counted; empty if none has. */
  readonly countedId: string;
}

/** So that even a VM that ends at once is started no more than eight times in ten minutes, the start that is not counted here included. */
const FIRST_DELAY_MS = 3_000;
const MAX_DELAY_MS = 300_000;
/** A VM that has run so long is well, and its next restart is the first again. */
const WELL_AFTER_MS = 600_000;

/**
 * When VMs are started again that have stopped by themselves or that could not be started: soon, and each time after twice as
 * long, so that a guest that crashes at once costs its node little. Begins anew with the agent.
 */
export class Restarts {
  readonly #options: RestartsOptions;
  readonly #firstDelayMs: number;
  readonly #restarts = new Map<string, Restart>();

  constructor(options: RestartsOptions) {
    this.#options = options;
    this.#firstDelayMs = options.firstDelayMs ?? FIRST_DELAY_MS;
  }

  /** Plans a restart of a VM unless one is planned. */
  plan(vmUid: string): void {
    const last = this.#recent(vmUid);
    if (last?.isPlanned === true) return;
    const start = this.#options.requests.lastStart(vmUid);
    this.#set(vmUid, { ...this.#next(last), ...countOf(last, start) });
  }

  /** How long the next restart of a VM has to wait still; plans one if none is planned. */
  waitMs(vmUid: string): number {
    this.plan(vmUid);
    const { dueAtMs = 0 } = this.#restarts.get(vmUid) ?? {};
    return Math.max(0, Math.ceil(dueAtMs - performance.now()));
  }

  /** Whether a restart is planned that is due, or will be so soon. */
  isDue(vmUid: string, withinMs: number): boolean {
    const restart = this.#restarts.get(vmUid);
    return restart?.isPlanned === true && restart.dueAtMs <= performance.now() + withinMs;
  }

  /** It was asked for. */
  begin(vmUid: string): void {
    const restart = this.#restarts.get(vmUid);
    if (restart === undefined) return;
    const attempts = restart.attempts + 1;
    this.#set(vmUid, { ...restart, attempts, isPlanned: false, lack: undefined });
  }

  /** It could not even be asked for; plans the next one. */
  refuse(vmUid: string, error: unknown): void {
    const restart = this.#restarts.get(vmUid);
    if (restart === undefined) return;
    this.#set(vmUid, {
      ...this.#next(restart),
      attempts: restart.attempts + 1,
      failedStarts: restart.failedStarts + 1,
      lastFailure: error instanceof AgentError ? error.message : 'the agent failed unexpectedly',
      lack: error instanceof AgentError ? lackOf(error) : undefined,
      countedId: restart.countedId,
    });
  }

  /** What of the node it waits for; undefined if that is not why it waits. */
  lackOf(vmUid: string): Lack | undefined {
    return this.#restarts.get(vmUid)?.lack;
  }

  /** What kept it from being started is gone: it waits no longer than for the first time. */
  hasten(vmUid: string): void {
    const restart = this.#restarts.get(vmUid);
    if (restart?.isPlanned !== true) return;
    const dueAtMs = restart.plannedAtMs + this.#firstDelayMs;
    if (dueAtMs >= restart.dueAtMs) return;
    const nextStartMs = restart.nextStartMs - (restart.dueAtMs - dueAtMs);
    this.#set(vmUid, { ...restart, dueAtMs, nextStartMs });
  }

  /** Nothing is to be started any more, as it runs or shall be off: the next restart is another one. */
  settle(vmUid: string): void {
    const restart = this.#restarts.get(vmUid);
    if (restart === undefined || (!restart.isPlanned && restart.failedStarts === 0)) return;
    const settled = { isPlanned: false, failedStarts: 0, lastFailure: '', lack: undefined };
    this.#set(vmUid, { ...restart, ...settled });
  }

  forget(vmUid: string): void {
    this.#restarts.delete(vmUid);
  }

  /** Undefined for a VM that is well. */
  report(vmUid: string): RestartReport | undefined {
    const restart = this.#recent(vmUid);
    if (restart === undefined) return undefined;
    const { attempts, failedStarts, lastFailure, lack, isPlanned } = restart;
    if (attempts === 0 && !isPlanned) return undefined;
    const nextStartMs = isPlanned ? restart.nextStartMs : undefined;
    return { attempts, failedStarts, nextStartMs, lastFailure, lack };
  }

  /** What still counts: a VM that has run for long since is well. */
  #recent(vmUid: string): Restart | undefined {
    const last = this.#restarts.get(vmUid);
    const isOld = last !== undefined && performance.now() - last.dueAtMs > WELL_AFTER_MS;
    return isOld && !last.isPlanned ? undefined : last;
  }

  #next(last: Restart | undefined) {
    const delayMs =
      last === undefined ? this.#firstDelayMs : Math.min(2 * last.delayMs, MAX_DELAY_MS);
    const plannedAtMs = performance.now();
    const nextStartMs = Date.now() + delayMs;
    return { delayMs, plannedAtMs, dueAtMs: plannedAtMs + delayMs, nextStartMs, isPlanned: true };
  }

  #set(vmUid: string, restart: Restart): void {
    this.#restarts.set(vmUid, restart);
    this.#options.onChange();
  }
}

/** What the last start, whoever asked for it, has come to; each is counted once. */
function countOf(last: Restart | undefined, start: OperationRecord | undefined) {
  const { attempts = 0, failedStarts = 0, lastFailure = '', countedId = '' } = last ?? {};
  if (start === undefined || start.id === countedId || isLongAgo(start)) {
    return { attempts, failedStarts, lastFailure, countedId, lack: undefined };
  }
  const hasFailed = start.state === 'failed';
  return {
    // One that nobody here has asked for, such as the one that an agent before this has.
    attempts: Math.max(attempts, hasFailed ? 1 : 0),
    failedStarts: hasFailed ? failedStarts + 1 : 0,
    lastFailure: hasFailed ? (start.error?.message ?? '') : '',
    countedId: start.id,
    lack: start.error && lackOf(start.error),
  };
}

/** The VM may have run since, started by somebody else. */
function isLongAgo({ endedAtMs = 0 }: OperationRecord): boolean {
  return Date.now() - endedAtMs > WELL_AFTER_MS;
}
