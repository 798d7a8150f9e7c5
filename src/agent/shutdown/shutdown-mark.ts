import { bootClockMs } from '../../core/boot-clock.ts';
import { AgentError } from '../../core/errors.ts';
import { Turns } from '../../core/turns.ts';
import type { ShutdownRecord, ShutdownStore } from './shutdown-store.ts';

export interface ShutdownMarkOptions {
  readonly store: ShutdownStore;
  /** Of the boot that the host is in. */
  readonly bootId: string;
  /** A clock that goes on from one agent to the next; `bootClockMs` if not given. */
  readonly clock?: (() => number) | undefined;
}

export const DEFAULT_TIMEOUT_MS = 120_000;

/**
 * Whether the host is about to go down. Asked from memory; a change is on the disk before it is answered. It is of one boot of
 * the host: after the next it means nothing.
 */
export class ShutdownMark {
  readonly #store: ShutdownStore;
  readonly #bootId: string;
  readonly #clock: () => number;
  readonly #turns = new Turns();
  #record: ShutdownRecord | undefined;

  private constructor(
    { store, bootId, clock = bootClockMs }: ShutdownMarkOptions,
    record: ShutdownRecord | undefined,
  ) {
    this.#store = store;
    this.#bootId = bootId;
    this.#clock = clock;
    this.#record = record?.bootId === bootId ? record : undefined;
  }

  static async load(options: ShutdownMarkOptions): Promise<ShutdownMark> {
    return new ShutdownMark(options, await options.store.find());
  }

  /** Undefined while the host is not about to go down. */
  get record(): ShutdownRecord | undefined {
    return this.#record;
  }

  get isGoingDown(): boolean {
    return this.#record !== undefined;
  }

  /** Until the deadline; negative after it, and without end while the host is not about to go down. */
  get leftMs(): number {
    return this.#record === undefined
      ? Number.POSITIVE_INFINITY
      : this.#record.deadlineBootMs - this.#clock();
  }

  /** Until half of the time is over. */
  get halfLeftMs(): number {
    if (this.#record === undefined) return Number.POSITIVE_INFINITY;
    return this.leftMs - (this.#record.deadlineBootMs - this.#record.beganBootMs) / 2;
  }

  /** Fails with NODE_SHUTTING_DOWN. `deed` says what is not done: `Cannot start VM web`. */
  assertNotGoingDown(deed: string): void {
    if (this.isGoingDown) throw new AgentError('NODE_SHUTTING_DOWN', `${deed}: ${SHUTTING_DOWN}`);
  }

  /** Another time-out than before sets the deadline anew, counted from now. */
  begin(timeoutMs: number | undefined, requestedBy: string): Promise<ShutdownRecord> {
    return this.#turns.take('mark', async () => {
      if (this.#record !== undefined && timeoutMs === undefined) return this.#record;
      const nowMs = Date.now();
      const { startedAtMs = nowMs, requestedBy: first = requestedBy } = this.#record ?? {};
      const beganBootMs = this.#clock();
      const record = {
        bootId: this.#bootId,
        requestedBy: first,
        startedAtMs,
        deadlineMs: nowMs + (timeoutMs ?? DEFAULT_TIMEOUT_MS),
        beganBootMs,
        deadlineBootMs: beganBootMs + (timeoutMs ?? DEFAULT_TIMEOUT_MS),
      };
      await this.#store.put(record);
      this.#record = record;
      return record;
    });
  }

  end(): Promise<void> {
    return this.#turns.take('mark', async () => {
      await this.#store.remove();
      this.#record = undefined;
    });
  }
}

/** Why something is not done, and what to do about it. */
const SHUTTING_DOWN =
  'this node is being shut down; choose another node, or, if its host stays up, call the shutdown off with "novactl node shutdown-vms --abort"';
