import { untilAborted } from '../../core/until-aborted.ts';
import type { HypervisorStatistics, VmStatistics } from '../hypervisor-statistics.ts';
import type { DomainRecord } from './domain-statistics.ts';

/** A listing asks for new statistics when the last are older than this, */
const FRESH_MS = 2_000;
/** and waits for them when they are older than this, */
const USABLE_MS = 10_000;
/** but not longer than this. */
const PATIENCE_MS = 1_000;

const NEVER = new AbortController().signal;

/**
 * The statistics of all VMs as they were a moment ago. libvirt asks every QEMU in turn for them, at some
 * milliseconds each, and waits for one that hangs; who lists often need not wait for that.
 */
export class StatisticsSampler implements HypervisorStatistics {
  readonly #read: (signal: AbortSignal) => Promise<readonly DomainRecord[]>;
  #statistics = new Map<string, VmStatistics>();
  /** VMs whose runs have ended or begun since the reading began, so that it may tell of another run. */
  readonly #outdated = new Set<string>();
  #sampledAtMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;
  /** Someone has waited in vain for what is being read. */
  #isLate = false;

  constructor(read: (signal: AbortSignal) => Promise<readonly DomainRecord[]>) {
    this.#read = read;
  }

  async sample(signal: AbortSignal): Promise<ReadonlyMap<string, VmStatistics>> {
    signal.throwIfAborted();
    await untilAborted(this.#refresh(), signal);
    const isOld = performance.now() - this.#sampledAtMs > USABLE_MS + PATIENCE_MS;
    return isOld ? new Map() : this.#statistics;
  }

  /** For a VM that was started or stopped: what is known is of another run. */
  forget(uid: string): void {
    this.#statistics.delete(uid);
    this.#outdated.add(uid);
  }

  /** For when events may have been missed. */
  forgetAll(): void {
    this.#statistics.clear();
    this.#sampledAtMs = Number.NEGATIVE_INFINITY;
  }

  /** Starts reading if it is time and, where there is nothing usable, waits for it. Does not fail. */
  async #refresh(): Promise<void> {
    const ageMs = performance.now() - this.#sampledAtMs;
    if (ageMs > FRESH_MS) this.#reading ??= this.#sample();
    if (ageMs < USABLE_MS || this.#isLate || this.#reading === undefined) return;
    const { promise: patience, resolve } = Promise.withResolvers<'late'>();
    const timer = setTimeout(() => resolve('late'), PATIENCE_MS);
    const outcome = await Promise.race([this.#reading, patience]);
    clearTimeout(timer);
    if (outcome === 'late') this.#isLate = this.#reading !== undefined;
  }

  async #sample(): Promise<void> {
    this.#outdated.clear();
    try {
      // What one caller waits for, the next can use, so no caller's signal ends it.
      const records = await this.#read(NEVER);
      this.#statistics = new Map(
        records.flatMap(({ uid, statistics }) =>
          statistics === undefined || this.#outdated.has(uid) ? [] : [[uid, statistics] as const],
        ),
      );
      this.#sampledAtMs = performance.now();
    } catch {
      // The listing itself, which asks for less, says what is wrong.
    } finally {
      this.#reading = undefined;
      this.#isLate = false;
    }
  }
}
