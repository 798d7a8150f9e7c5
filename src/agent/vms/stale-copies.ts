import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import {
  type HypervisorDomains,
  type HypervisorVm,
  isSplit,
} from '../../drivers/hypervisor-domains.ts';
import type { Ownership } from './ownership.ts';

export interface StaleCopiesOptions {
  readonly domains: Pick<HypervisorDomains, 'find' | 'destroy'>;
  readonly ownership: Ownership;
  readonly locks: KeyLocks;
  readonly log: Logger;
}

const CALL_TIMEOUT_MS = 10_000;

/**
 * Cuts the power of copies that another node owns by now, say one that somebody has started by hand. That the other
 * node owns the VM was recorded only after it had said so, so there is no doubt to respect. The definition stays,
 * for somebody to look at and delete.
 */
export class StaleCopies {
  readonly #options: StaleCopiesOptions;

  constructor(options: StaleCopiesOptions) {
    this.#options = options;
  }

  /** Stops those among the listed VMs that run. Failures are logged; the next listing brings the next try. */
  async stop(listed: readonly HypervisorVm[]): Promise<void> {
    const { ownership } = this.#options;
    for (const vm of listed) {
      if (vm.definition === undefined || !ownership.isStale(vm.definition)) continue;
      if (vm.state === 'running' || vm.state === 'paused') await this.#stopOne(vm);
    }
  }

  async #stopOne(vm: HypervisorVm): Promise<void> {
    const { domains, ownership, locks, log } = this.#options;
    // A migration that is about to settle removes the copy itself.
    using lock = locks.tryAcquire(vm.uid, 'removal of a stale copy');
    if (lock === undefined) return;
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
    try {
      // The listing may be older than a return of the VM to this node.
      const now = await domains.find(vm.uid, signal);
      if (now?.definition === undefined || !ownership.isStale(now.definition)) return;
      // The copy that the other node runs still needs it.
      if (isSplit(now)) return;
      log.error(
        { vmId: vm.uid, hypervisorName: vm.hypervisorName },
        'A copy of a VM that another node owns was running; its power is cut',
      );
      await domains.destroy(vm.uid, signal);
    } catch (error) {
      log.error({ vmId: vm.uid, err: error }, 'Could not stop a copy that another node owns');
    }
  }
}
