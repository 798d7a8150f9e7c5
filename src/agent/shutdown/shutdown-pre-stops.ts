import type { Logger } from '../../core/logger.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HookRequest } from '../../drivers/hook-runner.ts';
import type { HookRuns } from '../hooks/hook-runs.ts';
import { hookOf } from '../hooks/vm-hooks.ts';
import type { PowerRequests } from '../runs/power-requests.ts';
import type { ShutdownMark } from './shutdown-mark.ts';

export interface ShutdownPreStopsOptions {
  readonly runs: Pick<HookRuns, 'advance' | 'hasBegun' | 'forget'>;
  readonly mark: Pick<ShutdownMark, 'halfLeftMs'>;
  readonly requests: Pick<PowerRequests, 'isShuttingDown'>;
  readonly log: Logger;
}

/** Begins the name of what has hooks run at the shutdown of the node; no operation is called so. */
const OWNER = 'node-shutdown ';

/** Whether it is the shutdown of the node that has a hook run. */
export function isNodeShutdown(owner: string): boolean {
  return owner.startsWith(OWNER);
}

/**
 * Runs what is to run before guests are asked to power off as the host goes down. All of it has half of the time, so that the
 * guests have the rest.
 */
export class ShutdownPreStops {
  readonly #options: ShutdownPreStopsOptions;
  /** What VMs wait for, by their uids; empty once nothing is. */
  readonly #obstacles = new Map<string, string>();

  constructor(options: ShutdownPreStopsOptions) {
    this.#options = options;
  }

  /** Whether there is something to be waited for before the guest is asked; begins it. */
  isRunning(definition: VmDefinition): boolean {
    const { uid } = definition;
    const request = hookOf(definition, 'preStop');
    if (request === undefined) return false;
    const isRunning = this.#isRunning(uid, request);
    this.#obstacles.set(uid, isRunning ? `Its preStop hook ${request.command[0]} runs first` : '');
    return isRunning;
  }

  /** What the guest waits for before it is asked, in a sentence; empty if nothing is. */
  obstacleOf(vmUid: string): string {
    return this.#obstacles.get(vmUid) ?? '';
  }

  /** The VM is off, or nothing is waited for any more: what runs is ended. */
  forget(vmUid: string): void {
    this.#obstacles.delete(vmUid);
    this.#options.runs.forget(`${OWNER}${vmUid}`);
  }

  #isRunning(vmUid: string, request: HookRequest): boolean {
    const { runs, mark, requests, log } = this.#options;
    const owner = `${OWNER}${vmUid}`;
    const { halfLeftMs } = mark;
    const isLate = halfLeftMs <= 0;
    // Or a caller has had the guest asked already, after the hook.
    const isNeedless = isLate || requests.isShuttingDown(vmUid);
    if (isNeedless && !runs.hasBegun(owner, 'preStop')) return false;
    const timeoutMs = Math.min(request.timeoutMs, Math.max(1, Math.ceil(halfLeftMs)));
    const state = runs.advance(owner, { ...request, timeoutMs });
    if (state.kind !== 'ended') return state.kind === 'running' || !isLate;
    if (state.failure !== undefined) {
      const { text, said } = state.failure;
      log.warn(
        { vmId: vmUid, problem: `${text}; ${said}` },
        'Hook failed, its guest is asked all the same',
      );
    }
    return false;
  }
}
