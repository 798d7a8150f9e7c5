import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { Notifier } from '../../core/notifier.ts';
import { Turns } from '../../core/turns.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { Reservation } from './node.ts';
import type { ReservationStore } from './reservation-store.ts';

/** The longest that anything is kept free, so also what is left of it after the clock was set back. */
export const MAX_TTL_MS = 3_600_000;

interface Kept {
  readonly reservation: Reservation;
  /** By the clock that nobody sets. */
  readonly endsAtMs: number;
}

/**
 * What is kept free for VMs to come, until it is used up, released or its time is over. Asked from memory; each change is on
 * the disk before it is answered.
 */
export class ReservationBook {
  readonly #store: ReservationStore;
  readonly #log: Logger;
  readonly #kept = new Map<string, Kept>();
  readonly #changes = new Notifier();
  /** A request that is repeated while the first is being written waits for what comes of that. */
  readonly #turns = new Turns();

  private constructor(store: ReservationStore, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  static async load(store: ReservationStore, log: Logger): Promise<ReservationBook> {
    const book = new ReservationBook(store, log);
    for (const reservation of await store.list()) {
      const leftMs = Math.min(reservation.expiresAtMs - Date.now(), MAX_TTL_MS);
      book.#kept.set(reservation.id, { reservation, endsAtMs: performance.now() + leftMs });
    }
    return book;
  }

  /** Forgets those whose time is over, until aborted. They count for nothing before that. Give it to the task group. */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      const seen = this.#changes.version;
      for (const [id, kept] of this.#kept) if (!isInForce(kept)) await this.#end(id);
      await this.#untilNextEnd(seen, signal);
    }
  }

  /** Sorted by id. */
  list(): readonly Reservation[] {
    return [...this.#kept.values()]
      .filter(isInForce)
      .map(({ reservation }) => reservation)
      .toSorted((left, right) => (left.id < right.id ? -1 : 1));
  }

  /** The one that keeps a VM's name; undefined if none does. */
  findByName(namespace: string, name: string): Reservation | undefined {
    return this.list().find(({ vm }) => vm.namespace === namespace && vm.name === name);
  }

  /**
   * Keeps an amount free, unless `assertMayKeep` fails. The same request again answers with what is kept, and makes it last no
   * longer; fails with RESERVATION_ALREADY_EXISTS for the id of another one.
   */
  add(
    request: Pick<Reservation, 'id' | 'vm' | 'amounts'> & { readonly ttlMs: number },
    assertMayKeep: () => void,
  ): Promise<Reservation> {
    const { id, vm, amounts, ttlMs } = request;
    return this.#turns.take(id, async () => {
      const known = this.#find(id);
      if (known !== undefined) {
        const isSame = isDeepStrictEqual([known.vm, known.amounts], [vm, amounts]);
        if (isSame) return known;
        throw new AgentError(
          'RESERVATION_ALREADY_EXISTS',
          `Cannot reserve with id ${id}: it was used for VM ${known.vm.namespace}/${known.vm.name}, or for other amounts; choose a new id`,
          { metadata: { reservationId: id } },
        );
      }
      assertMayKeep();
      const reservation = { id, vm, amounts, expiresAtMs: Date.now() + ttlMs };
      // In memory first, so that nobody is given the same while it is being written.
      this.#kept.set(id, { reservation, endsAtMs: performance.now() + ttlMs });
      try {
        await this.#store.put(reservation);
      } catch (error) {
        this.#kept.delete(id);
        throw error;
      }
      this.#changes.notify();
      return reservation;
    });
  }

  /** One that is gone counts as removed. */
  remove(id: string): Promise<void> {
    return this.#turns.take(id, async () => {
      await this.#store.remove(id);
      this.#kept.delete(id);
    });
  }

  /** Its VM is there. Does not fail: the reservation of a VM that is there keeps nothing free, even if it cannot be forgotten. */
  useUp(id: string): Promise<void> {
    return this.#turns.take(id, () => this.#drop(id));
  }

  /** Fails with RESERVATION_NOT_FOUND unless the reservation is there and for this VM. */
  assertFor(id: string, { namespace, name, uid }: VmDefinition): void {
    const vm = this.#find(id)?.vm;
    const isFor = vm?.namespace === namespace && vm.name === name && (vm.uid ?? uid) === uid;
    if (isFor) return;
    throw new AgentError(
      'RESERVATION_NOT_FOUND',
      vm === undefined
        ? `Cannot use reservation ${id}: there is none, or its time is over; reserve anew`
        : `Cannot use reservation ${id} for VM ${namespace}/${name}: it is for VM ${vm.namespace}/${vm.name}${vm.uid === undefined ? '' : ` with uid ${vm.uid}`}`,
      { metadata: { reservationId: id } },
    );
  }

  #find(id: string): Reservation | undefined {
    const kept = this.#kept.get(id);
    return kept !== undefined && isInForce(kept) ? kept.reservation : undefined;
  }

  #end(id: string): Promise<void> {
    return this.#turns.take(id, async () => {
      // Its id may have been used again by now.
      if (this.#find(id) === undefined) await this.#drop(id);
    });
  }

  async #drop(id: string): Promise<void> {
    this.#kept.delete(id);
    try {
      await this.#store.remove(id);
    } catch (error) {
      this.#log.warn({ reservationId: id, err: error }, 'Cannot forget a reservation');
    }
  }

  /** Until the next one's time is over, or there may be another next one. */
  async #untilNextEnd(seen: number, signal: AbortSignal): Promise<void> {
    const ends = [...this.#kept.values()].map(({ endsAtMs }) => endsAtMs);
    if (ends.length === 0) {
      await this.#changes.changed(seen, signal);
      return;
    }
    const leftMs = Math.max(0, Math.ceil(Math.min(...ends) - performance.now()));
    const timeout = AbortSignal.timeout(leftMs);
    try {
      await this.#changes.changed(seen, AbortSignal.any([signal, timeout]));
    } catch (error) {
      signal.throwIfAborted();
      if (!timeout.aborted) throw error;
    }
  }
}

function isInForce({ endsAtMs }: Kept): boolean {
  return endsAtMs > performance.now();
}
