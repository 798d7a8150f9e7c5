import type { OperationRecord } from './operation.ts';
import type { OperationStore } from './operation-store.ts';

/** A creation that has failed or was cancelled: between what times it can have made something. */
export interface GivenUpCreation {
  /** An apply may have been a creation or a change. */
  readonly kind: 'create' | 'apply';
  readonly requestedAtMs: number;
  readonly endedAtMs: number;
}

/** A call that lands later does so soon, and that of an older one leaves a VM, off. */
const REMEMBERED = 1_000;

/**
 * The last of the creations that were given up of VMs of which nothing else was asked since. Killed agents included: it is
 * loaded from the history.
 */
export class GivenUpCreations {
  /** By the VM's uid, the newest last. */
  readonly #creations = new Map<string, GivenUpCreation>();

  static async load(store: OperationStore): Promise<GivenUpCreations> {
    const creations = new GivenUpCreations();
    for (const record of await store.listGivenUpCreations(REMEMBERED)) creations.note(record);
    return creations;
  }

  /** An operation has begun or ended. */
  note({ kind, state, vm, requestedAtMs, endedAtMs }: OperationRecord): void {
    const mayCreate = kind === 'create' || kind === 'apply';
    const isGivenUp = state === 'failed' || state === 'cancelled';
    // Whoever creates the VM again finds what the one before has left.
    if (mayCreate && endedAtMs === undefined) return;
    this.#creations.delete(vm.uid);
    if (!mayCreate || !isGivenUp || endedAtMs === undefined) return;
    this.#creations.set(vm.uid, { kind, requestedAtMs, endedAtMs });
    for (const uid of this.#creations.keys()) {
      if (this.#creations.size <= REMEMBERED) break;
      this.#creations.delete(uid);
    }
  }

  /** Costs nothing. */
  find(vmUid: string): GivenUpCreation | undefined {
    return this.#creations.get(vmUid);
  }
}
