import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { VmRef } from '../vms/vm.ts';
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
export class ReservationBook implements Disposable {
  readonly #store: ReservationStore;
  readonly #log: Logger;
  readonly #kept = new Map<string, Kept>();
  #timer: NodeJS.Timeout | undefined;

  private constructor(store: ReservationStore, log: Logger) {
    this.#store = store;
    this.#log = log;
  }

  static async load(store: ReservationStore, log: Logger): Promise<ReservationBook> {
    const book = new ReservationBook(store, log);
    for (const reservation of await store.list()) book.#keep(reservation);
    book.#expire();
    return book;
  }

  /** Sorted by id. */
  list(): readonly Reservation[] {
    return [...this.#kept.values()]
      .map(({ reservation }) => reservation)
      .toSorted((left, right) => (left.id < right.id ? -1 : 1));
  }

  /**
   * Keeps an amount free. The same request again answers with what is kept; fails with RESERVATION_ALREADY_EXISTS for the id of
   * another one, with VM_BUSY if the VM's name is taken by another, and as `assertRoom` does.
   */
  async add(reservation: Reservation, assertRoom: () => void): Promise<Reservation> {
    const known = this.#kept.get(reservation.id)?.reservation;
    if (known !== undefined) {
      const isSame =
        isDeepStrictEqual(known.vm, reservation.vm) &&
        isDeepStrictEqual(known.amounts, reservation.amounts);
      if (isSame) return known;
      throw new AgentError(
        'RESERVATION_ALREADY_EXISTS',
        `Cannot reserve with id ${reservation.id}: it was used for VM ${known.vm.namespace}/${known.vm.name}, or for other amounts; choose a new id`,
        { metadata: { reservationId: reservation.id } },
      );
    }
    this.assertNameFree(reservation.vm);
    assertRoom();
    // In memory first, so that nobody is given the same while it is being written.
    this.#keep(reservation);
    try {
      await this.#store.put(reservation);
    } catch (error) {
      this.#kept.delete(reservation.id);
      throw error;
    }
    this.#expire();
    return reservation;
  }

  /** One that is gone counts as removed. */
  async remove(id: string): Promise<void> {
    await this.#store.remove(id);
    this.#kept.delete(id);
  }

  /** Fails with VM_BUSY if the name of a VM is set aside. */
  assertNameFree({ namespace, name }: Pick<VmRef, 'namespace' | 'name'>): void {
    const other = this.list().find(({ vm }) => vm.namespace === namespace && vm.name === name);
    if (other === undefined) return;
    throw new AgentError(
      'VM_BUSY',
      `Cannot use the name ${namespace}/${name}: reservation ${other.id} keeps it for a VM to come; create the VM with that reservation, or release it`,
      { metadata: { reservationId: other.id, namespace, name } },
    );
  }

  /** Fails with RESERVATION_NOT_FOUND unless the reservation is there and for this VM. */
  assertFor(id: string, { namespace, name, uid }: VmDefinition): void {
    const vm = this.#kept.get(id)?.reservation.vm;
    const isFor = vm?.namespace === namespace && vm.name === name && (vm.uid ?? uid) === uid;
    if (isFor) return;
    throw new AgentError(
      'RESERVATION_NOT_FOUND',
      vm === undefined
        ? `Cannot use reservation ${id}: there is none, or its time is over; reserve anew`
        : `Cannot use reservation ${id} for VM ${namespace}/${name}: it is for VM ${vm.namespace}/${vm.name}`,
      { metadata: { reservationId: id } },
    );
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#kept.clear();
  }

  #keep(reservation: Reservation): void {
    const leftMs = Math.min(Math.max(0, reservation.expiresAtMs - Date.now()), MAX_TTL_MS);
    this.#kept.set(reservation.id, { reservation, endsAtMs: performance.now() + leftMs });
  }

  /** Ends those whose time is over, and wakes again for the next. */
  #expire(): void {
    clearTimeout(this.#timer);
    const nowMs = performance.now();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const [id, { endsAtMs }] of this.#kept) {
      if (endsAtMs > nowMs) {
        nextMs = Math.min(nextMs, endsAtMs);
        continue;
      }
      this.#kept.delete(id);
      // Should it stay in the store, its time is over at the next start as well.
      this.#store.remove(id).catch((error: unknown) => {
        this.#log.warn({ reservationId: id, err: error }, 'Cannot forget a reservation');
      });
    }
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.#timer = setTimeout(() => this.#expire(), Math.ceil(nextMs - nowMs)).unref();
  }
}
