import type { Logger } from '../../core/logger.ts';
import type { HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { Look } from '../reconcile/controller.ts';
import type { IdentificationStore } from './identification-store.ts';
import type { Ownership } from './ownership.ts';

export interface IdentificationOptions {
  readonly ownership: Pick<Ownership, 'isOwner' | 'isUnrecorded'>;
  readonly log: Logger;
}

/**
 * Whether the journal knows which of the hypervisor's VMs are this node's. One that was begun anew, as after the loss of the
 * agent's disk, does not: until every VM was read, or an operator has said that it need not be, any that cannot be read may
 * be this node's. Asked from memory; each change is on the disk before it is in memory.
 */
export class Identification {
  readonly #store: IdentificationStore;
  readonly #options: IdentificationOptions;
  #isComplete: boolean;

  private constructor(
    store: IdentificationStore,
    isComplete: boolean,
    options: IdentificationOptions,
  ) {
    this.#store = store;
    this.#isComplete = isComplete;
    this.#options = options;
  }

  static async load(
    store: IdentificationStore,
    options: IdentificationOptions,
  ): Promise<Identification> {
    const { isComplete } = await store.get();
    return new Identification(store, isComplete, options);
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Has the agent go on although it is not known whose some VMs are. */
  async accept(acceptedBy: string): Promise<void> {
    await this.#store.put({ isComplete: true, acceptedBy });
    this.#isComplete = true;
  }

  /** Completes it at the first look at which the owner of every VM is recorded. Give it to the task group. */
  async follow(looks: AsyncIterable<Look>): Promise<void> {
    if (this.#isComplete) return;
    for await (const { vms } of looks) {
      if (vms.every(({ domain }) => domain === undefined || this.#isIdentified(domain))) {
        await this.#complete();
      }
      if (this.#isComplete) return;
    }
  }

  #isIdentified({ uid, state, isRead, definition }: HypervisorVm): boolean {
    const { ownership } = this.#options;
    // One that is still arriving belongs to its source.
    if (state === 'incoming') return true;
    if (!isRead) return ownership.isOwner(uid);
    return definition === undefined || !ownership.isUnrecorded(definition);
  }

  async #complete(): Promise<void> {
    const { log } = this.#options;
    if (this.#isComplete) return;
    try {
      await this.#store.put({ isComplete: true, acceptedBy: undefined });
      this.#isComplete = true;
      log.info('It is recorded which VMs are of this node');
    } catch (error) {
      // The next look tries again.
      log.warn({ err: error }, 'Cannot record that all VMs of this node are known');
    }
  }
}
