import type { VmStatistics } from '../hypervisor.ts';
import type { DomainRecord } from './domain-statistics.ts';

/** A listing asks for new statistics when the last are older than this, */
const FRESH_MS = 2_000;
/** and waits for them when they are older than this, */
const USABLE_MS = 10_000;
/** but not longer than this. */
const PATIENCE_MS = 1_000;

/**
 * The statistics of all VMs as they were a moment ago. libvirt asks every QEMU in turn for them, at some
 * milliseconds each, and waits for one that hangs; who lists often need not wait for that.
 */
export class StatisticsSampler {
  readonly #read: () => Promise<readonly DomainRecord[]>;
  #records = new Map<string, DomainRecord>();
  #sampledAtMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;
  /** Someone has waited in vain for what is being read. */
  #isLate = false;

  constructor(read: () => Promise<readonly DomainRecord[]>) {
    this.#read = read;
  }

  /** Starts reading if it is time and, where there is nothing usable, waits for it. Does not fail. */
  async refresh(): Promise<void> {
    const ageMs = performance.now() - this.#sampledAtMs;
    if (ageMs > FRESH_MS) this.#reading ??= this.#sample();
    if (ageMs < USABLE_MS || this.#isLate || this.#reading === undefined) return;
    const { promise: patience, resolve } = Promise.withResolvers<'late'>();
    const timer = setTimeout(() => resolve('late'), PATIENCE_MS);
    const outcome = await Promise.race([this.#reading, patience]);
    clearTimeout(timer);
    if (outcome === 'late') this.#isLate = this.#reading !== undefined;
  }

  /** Undefined for a VM that has not run, or was too busy, when it was last asked. */
  find(record: DomainRecord): VmStatistics | undefined {
    if (performance.now() - this.#sampledAtMs > USABLE_MS + PATIENCE_MS) return undefined;
    const sampled = this.#records.get(record.uid);
    const isSameRun = sampled?.runId === record.runId && record.runId !== undefined;
    return isSameRun ? sampled?.statistics : undefined;
  }

  async #sample(): Promise<void> {
    try {
      const records = await this.#read();
      this.#records = new Map(records.map((record) => [record.uid, record]));
      this.#sampledAtMs = performance.now();
    } catch {
      // The listing itself, which asks for less, says what is wrong.
    } finally {
      this.#reading = undefined;
      this.#isLate = false;
    }
  }
}
