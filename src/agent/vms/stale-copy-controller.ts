import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import { type HypervisorDomains, isSplit } from '../../drivers/hypervisor-domains.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import type { Ownership } from './ownership.ts';

export interface StaleCopyControllerOptions {
  readonly domains: Pick<HypervisorDomains, 'find' | 'destroy'>;
  readonly ownership: Ownership;
  readonly locks: KeyLocks;
  readonly log: Logger;
}

/**
 * Cuts the power of copies that another node owns by now, say one that somebody has started by hand. That the other
 * node owns the VM was recorded only after it had said so, so there is no doubt to respect. The definition stays,
 * for somebody to look at and delete.
 */
export class StaleCopyController implements Controller {
  readonly name = 'stale-copies';
  readonly inputs: readonly Input[] = ['domains', 'ownership'];
  readonly outputs: readonly Output[] = ['power-of-stale-copies'];
  readonly #options: StaleCopyControllerOptions;

  constructor(options: StaleCopyControllerOptions) {
    this.#options = options;
  }

  concern({ domain }: SeenVm): string | undefined {
    if (domain?.definition === undefined) return undefined;
    const runs = domain.state === 'running' || domain.state === 'paused';
    return runs && this.#options.ownership.isStale(domain.definition) ? 'running' : undefined;
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { domains, ownership, locks, log } = this.#options;
    // A migration that is about to settle removes the copy itself.
    using lock = locks.tryAcquire(vmUid, 'removal of a stale copy');
    if (lock === undefined) return undefined;
    // What was seen may be older than a return of the VM to this node.
    const now = await domains.find(vmUid, signal);
    if (now?.definition === undefined || !ownership.isStale(now.definition)) return undefined;
    // The copy that the other node runs still needs it.
    if (isSplit(now)) return undefined;
    log.error(
      { vmId: vmUid, hypervisorName: now.hypervisorName },
      'A copy of a VM that another node owns was running; its power is cut',
    );
    await domains.destroy(vmUid, signal);
    return undefined;
  }
}
