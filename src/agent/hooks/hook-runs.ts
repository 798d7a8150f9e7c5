import type { Logger } from '../../core/logger.ts';
import type { TaskGroup } from '../../core/task-group.ts';
import type { HookName, HookRequest, HookRunner } from '../../drivers/hook-runner.ts';
import { failureOfRun, type HookFailure, outcomeFailure } from './hook-failure.ts';

export interface HookRunsOptions {
  readonly runner: Pick<HookRunner, 'run'>;
  readonly tasks: Pick<TaskGroup, 'run'>;
  /** Whether what has a hook run still goes on. Must cost nothing. */
  readonly isOpen: (owner: string) => boolean;
  /** Called when a hook of a VM has ended. */
  readonly onEnded: (vmUid: string) => void;
  readonly log: Logger;
}

/** How a hook stands. */
export type HookState =
  | { readonly kind: 'running'; readonly waitedMs: number; readonly leftMs: number }
  /** Another hook of the VM has to end first. */
  | { readonly kind: 'behind' }
  | { readonly kind: 'ended'; readonly failure: HookFailure | undefined };

interface Run {
  readonly request: HookRequest;
  readonly stop: AbortController;
  /** By the clock that nobody sets. */
  readonly sinceMs: number;
  end: { readonly failure: HookFailure | undefined } | undefined;
}

/**
 * Hooks that run beside the steps of what has them run, each once for its owner: an operation by its id, or the shutdown of the
 * node. One at a time for each VM. What runs ends with its owner and with this agent, and the next agent knows nothing of it.
 */
export class HookRuns {
  readonly #options: HookRunsOptions;
  /** By owner, then by hook; those that have ended are kept until their owner has. */
  readonly #runs = new Map<string, Map<HookName, Run>>();
  /** By the uid of the VM. */
  readonly #running = new Map<string, Run>();

  constructor(options: HookRunsOptions) {
    this.#options = options;
  }

  /** How the hook of an owner stands; begins it if it has not begun and nothing is in its way. Costs nothing. */
  advance(owner: string, request: HookRequest): HookState {
    const { hook, vm } = request;
    const known = this.#runs.get(owner)?.get(hook);
    if (known !== undefined) return stateOf(known);
    if (this.#running.has(vm.uid) || !this.#options.isOpen(owner)) return { kind: 'behind' };
    const run: Run = {
      request,
      stop: new AbortController(),
      sinceMs: performance.now(),
      end: undefined,
    };
    const ofOwner = this.#runs.get(owner) ?? new Map<HookName, Run>();
    this.#runs.set(owner, ofOwner.set(hook, run));
    this.#running.set(vm.uid, run);
    this.#options.tasks.run('hook', (signal) => this.#run(run, signal));
    return stateOf(run);
  }

  /** Whether a hook of an owner has begun, or has ended already. */
  hasBegun(owner: string, hook: HookName): boolean {
    return this.#runs.get(owner)?.has(hook) === true;
  }

  /** The owner has ended: what it has running is ended, and all forgotten. */
  forget(owner: string): void {
    const runs = this.#runs.get(owner)?.values() ?? [];
    for (const { end, stop } of runs) if (end === undefined) stop.abort(new Error('not wanted'));
    this.#runs.delete(owner);
  }

  async #run(run: Run, signal: AbortSignal): Promise<void> {
    const { runner, onEnded, log } = this.#options;
    const { hook, vm, command } = run.request;
    const about = { vmId: vm.uid, hook, program: command[0] };
    log.debug(about, 'Hook begins');
    try {
      const outcome = await runner.run(run.request, AbortSignal.any([signal, run.stop.signal]));
      run.end = { failure: outcomeFailure(run.request, outcome) };
    } catch (error) {
      signal.throwIfAborted();
      run.end = { failure: failureOfRun(run.request, error) };
      if (!run.stop.signal.aborted) log.warn({ ...about, err: error }, 'Hook was not run');
    } finally {
      this.#running.delete(vm.uid);
    }
    const durationMs = performance.now() - run.sinceMs;
    log.debug({ ...about, durationMs, isFailure: run.end.failure !== undefined }, 'Hook ended');
    onEnded(vm.uid);
  }
}

function stateOf({ end, sinceMs, request }: Run): HookState {
  if (end !== undefined) return { kind: 'ended', failure: end.failure };
  const waitedMs = performance.now() - sinceMs;
  return { kind: 'running', waitedMs, leftMs: Math.max(0, request.timeoutMs - waitedMs) };
}
