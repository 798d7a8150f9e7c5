import { bootClockMs } from '../../core/boot-clock.ts';
import { Notifier } from '../../core/notifier.ts';
import { Turns } from '../../core/turns.ts';
import type { FreezeRecord, FreezeStore } from './freeze-store.ts';

/** What is told of a guest that this node has frozen. */
export interface Freeze {
  readonly fileSystems: number | undefined;
  readonly requestedBy: string;
  /** When it is thawed by itself, in milliseconds since 1970. */
  readonly deadlineMs: number;
}

export interface FreezeBookOptions {
  readonly store: FreezeStore;
  /** Of the boot that the host is in. */
  readonly bootId: string;
  /** A clock that goes on from one agent to the next; `bootClockMs` if not given. */
  readonly clock?: (() => number) | undefined;
}

/**
 * Which guests this node has frozen, or may have: each is on the disk before its guest is asked, and goes when it is known to be
 * thawed. Asked from memory.
 */
export class FreezeBook {
  readonly #store: FreezeStore;
  readonly #bootId: string;
  readonly #clock: () => number;
  readonly #records = new Map<string, FreezeRecord>();
  readonly #turns = new Turns();
  readonly #changes = new Notifier();

  private constructor({ store, bootId, clock = bootClockMs }: FreezeBookOptions) {
    this.#store = store;
    this.#bootId = bootId;
    this.#clock = clock;
  }

  static async load(options: FreezeBookOptions): Promise<FreezeBook> {
    const book = new FreezeBook(options);
    for (const record of await options.store.list()) book.#records.set(record.vmUid, record);
    return book;
  }

  find(vmUid: string): FreezeRecord | undefined {
    return this.#records.get(vmUid);
  }

  /** Of guests whose time is over, be it that the host has booted since. */
  listOverdue(): readonly string[] {
    return this.list().filter((vmUid) => this.#leftMs(vmUid) <= 0);
  }

  list(): readonly string[] {
    return [...this.#records.keys()];
  }

  /** A deadline from before counts no more. */
  put(vmUid: string, timeoutMs: number, requestedBy: string): Promise<FreezeRecord> {
    return this.#turns.take(vmUid, async () => {
      const record = {
        vmUid,
        requestedBy,
        bootId: this.#bootId,
        deadlineBootMs: this.#clock() + timeoutMs,
        deadlineMs: Date.now() + timeoutMs,
      };
      await this.#store.put(record);
      this.#set(record);
      return record;
    });
  }

  /** Its time is over now. For the next agent the deadline is what it was. */
  expire(vmUid: string): void {
    const record = this.#records.get(vmUid);
    if (record !== undefined) this.#set({ ...record, deadlineBootMs: this.#clock() });
  }

  remove(vmUid: string): Promise<void> {
    return this.#turns.take(vmUid, async () => {
      await this.#store.remove(vmUid);
      this.#records.delete(vmUid);
      this.#changes.notify();
    });
  }

  get version(): number {
    return this.#changes.version;
  }

  /** Resolves when the book is another than in this version, or the next deadline is over. */
  async untilDue(seen: number, signal: AbortSignal): Promise<void> {
    const left = this.list().map((vmUid) => this.#leftMs(vmUid));
    const nextMs = Math.min(...left.filter((ms) => ms > 0));
    if (!Number.isFinite(nextMs)) return await this.#changes.changed(seen, signal);
    const timeout = AbortSignal.timeout(nextMs);
    try {
      await this.#changes.changed(seen, AbortSignal.any([signal, timeout]));
    } catch (error) {
      signal.throwIfAborted();
      if (!timeout.aborted) throw error;
    }
  }

  #leftMs(vmUid: string): number {
    const record = this.#records.get(vmUid);
    if (record === undefined || record.bootId !== this.#bootId) return 0;
    return record.deadlineBootMs - this.#clock();
  }

  #set(record: FreezeRecord): void {
    this.#records.set(record.vmUid, record);
    this.#changes.notify();
  }
}
