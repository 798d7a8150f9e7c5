import { setImmediate as nextTurn } from 'node:timers/promises';
import { AgentError } from '../../src/core/errors.ts';
import { untilAborted } from '../../src/core/until-aborted.ts';
import type { HypervisorConsoles } from '../../src/drivers/hypervisor-consoles.ts';
import type { HypervisorDevices } from '../../src/drivers/hypervisor-devices.ts';
import type { HypervisorDomains } from '../../src/drivers/hypervisor-domains.ts';
import type { HypervisorGuestAgent } from '../../src/drivers/hypervisor-guest-agent.ts';
import type { HypervisorHost } from '../../src/drivers/hypervisor-host.ts';
import type { HypervisorJobs } from '../../src/drivers/hypervisor-jobs.ts';
import type { HypervisorStatistics } from '../../src/drivers/hypervisor-statistics.ts';

export type HypervisorMethod =
  | keyof HypervisorHost
  | Exclude<keyof HypervisorDomains, 'effectOf'>
  | keyof HypervisorDevices
  | keyof HypervisorStatistics
  | keyof HypervisorJobs
  | keyof HypervisorConsoles
  | keyof HypervisorGuestAgent;

/** How a caller comes to give up on a call that is not answered. */
export type GivenUp = 'timed-out' | 'aborted';

/** When a hypervisor dies: before it does what a call asks, in the midst of it, or before it can answer. */
export type DeathMoment = 'before' | 'amid' | 'after';

export interface Death {
  calls: number;
  readonly moment: DeathMoment;
  /** Leaves what is half done, and gives the error of the call. */
  readonly die: (method: HypervisorMethod, uid: string) => Error;
}

/** Called all the time by whoever looks on. */
const LOOKS: readonly HypervisorMethod[] = ['list', 'sample', 'getInfo'];

interface LateCalls {
  readonly givenUp: GivenUp;
  readonly effects: (() => unknown)[];
}

/** The way of every call to a fake hypervisor: counted, refused, held up, cut off, or carried out when nobody waits. */
export class FakeHypervisorCalls {
  /** Every call that has been made, such as `start 8c5d…`. */
  readonly made: string[] = [];
  readonly #failures = new Map<HypervisorMethod, { error: Error; times: number }>();
  readonly #blocks = new Map<HypervisorMethod, Promise<void>>();
  readonly #late = new Map<HypervisorMethod, LateCalls>();
  readonly #lostListeners = new Set<(error: Error) => void>();
  #connected = true;
  #death: Death | undefined;

  fail(method: HypervisorMethod, error: Error, times: number): void {
    this.#failures.set(method, { error, times });
  }

  block(method: HypervisorMethod): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#blocks.set(method, promise);
    return () => {
      this.#blocks.delete(method);
      resolve();
    };
  }

  late(method: HypervisorMethod, givenUp: GivenUp): () => void {
    const calls: LateCalls = { givenUp, effects: [] };
    this.#late.set(method, calls);
    return () => {
      this.#late.delete(method);
      for (const effect of calls.effects.splice(0)) carryOutUnheard(effect);
    };
  }

  /** At its nth call from now on that is not a look. */
  dieAt(death: Death): void {
    this.#death = { ...death };
  }

  /** Ends all that waits. */
  disconnect(): Error {
    this.#connected = false;
    const error = unreachable();
    for (const lose of this.#lostListeners) lose(error);
    return error;
  }

  reconnect(): void {
    this.#connected = true;
  }

  /** Does it, in a later turn: nothing that a real hypervisor does is done in the same one. */
  async perform<T>(
    method: HypervisorMethod,
    uid: string,
    signal: AbortSignal,
    act: () => T,
  ): Promise<T> {
    signal.throwIfAborted();
    this.made.push(`${method} ${uid}`.trim());
    const late = this.#late.get(method);
    if (late !== undefined) return this.#giveUp(method, late, signal, act);
    const blocked = this.#blocks.get(method);
    if (blocked !== undefined) await untilAborted(blocked, signal);
    await nextTurn();
    signal.throwIfAborted();
    if (!this.#connected) throw unreachable();
    this.#failIfAsked(method);
    this.#dieIfAsked(method, uid, act);
    return act();
  }

  /** Waits for what goes on by itself, until it ends, the signal is aborted or the connection lost. */
  async waitFor(work: Promise<void>, signal: AbortSignal): Promise<void> {
    const { promise: lost, reject } = Promise.withResolvers<never>();
    this.#lostListeners.add(reject);
    try {
      await untilAborted(Promise.race([work, lost]), signal);
    } finally {
      this.#lostListeners.delete(reject);
    }
  }

  async #giveUp(
    method: HypervisorMethod,
    { givenUp, effects }: LateCalls,
    signal: AbortSignal,
    effect: () => unknown,
  ): Promise<never> {
    effects.push(effect);
    await nextTurn();
    if (givenUp === 'aborted') await untilAborted(new Promise(() => {}), signal);
    signal.throwIfAborted();
    throw new AgentError('HYPERVISOR_TIMEOUT', `Cannot ${method}: there was no answer in time`);
  }

  #dieIfAsked(method: HypervisorMethod, uid: string, act: () => unknown): void {
    const death = this.#death;
    if (death === undefined || LOOKS.includes(method)) return;
    death.calls -= 1;
    if (death.calls > 0) return;
    this.#death = undefined;
    if (death.moment === 'after') carryOutUnheard(act);
    throw death.die(method, uid);
  }

  #failIfAsked(method: HypervisorMethod): void {
    const failure = this.#failures.get(method);
    if (failure === undefined) return;
    failure.times -= 1;
    if (failure.times <= 0) this.#failures.delete(method);
    throw failure.error;
  }
}

/** Nobody is left to hear whether it went well. */
function carryOutUnheard(effect: () => unknown): void {
  try {
    effect();
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
  }
}

function unreachable(): AgentError {
  return new AgentError('HYPERVISOR_UNREACHABLE', 'Cannot reach the fake hypervisor');
}
