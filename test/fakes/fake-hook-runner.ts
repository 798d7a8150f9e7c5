import { AgentError } from '../../src/core/errors.ts';
import { untilAborted } from '../../src/core/until-aborted.ts';
import type { HookOutcome, HookRequest, HookRunner } from '../../src/drivers/hook-runner.ts';

const WELL: HookOutcome = { failure: undefined, output: '' };

/** A node whose programs do what they are told to; each is there unless it was said to be a problem. */
export class FakeHookRunner implements HookRunner {
  /** What was run, in order: `preStart web`. */
  readonly begun: string[] = [];
  /** Likewise of those that were ended before they had by themselves. */
  readonly ended: string[] = [];
  /** How many run now. */
  running = 0;
  /** VMs of which what an earlier agent has left was ended. */
  readonly swept: string[] = [];
  readonly #problems = new Map<string, string>();
  readonly #outcomes = new Map<string, HookOutcome>();
  readonly #blocks = new Map<string, Promise<void>>();

  /** Why a program may not be run; undefined if it may. */
  setProblem(program: string, problem: string | undefined): void {
    if (problem === undefined) this.#problems.delete(program);
    else this.#problems.set(program, problem);
  }

  /** How a program ends from here on. */
  setOutcome(program: string, outcome: HookOutcome): void {
    this.#outcomes.set(program, outcome);
  }

  /** A program ends only once what is returned was called, or its time is over. */
  block(program: string): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#blocks.set(program, promise);
    return () => {
      this.#blocks.delete(program);
      resolve();
    };
  }

  async findProblem(program: string, signal: AbortSignal): Promise<string | undefined> {
    signal.throwIfAborted();
    return Promise.resolve(this.#problems.get(program));
  }

  async run(request: HookRequest, signal: AbortSignal): Promise<HookOutcome> {
    const { hook, vm, command, timeoutMs } = request;
    const [program = ''] = command;
    const problem = await this.findProblem(program, signal);
    if (problem !== undefined) {
      throw new AgentError('HOOK_NOT_ALLOWED', problem, { metadata: { vmId: vm.uid } });
    }
    this.begun.push(`${hook} ${vm.name}`);
    const timeout = AbortSignal.timeout(timeoutMs);
    this.running += 1;
    try {
      const block = this.#blocks.get(program) ?? Promise.resolve();
      await untilAborted(block, AbortSignal.any([signal, timeout]));
    } catch {
      this.ended.push(`${hook} ${vm.name}`);
      signal.throwIfAborted();
      return { failure: `has not ended within ${timeoutMs / 1_000} s, and was ended`, output: '' };
    } finally {
      this.running -= 1;
    }
    return this.#outcomes.get(program) ?? WELL;
  }

  async endLeft(vmUids: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.swept.push(...vmUids);
    return Promise.resolve();
  }
}
