import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { HypervisorDomains } from '../../drivers/hypervisor-domains.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import type { Remains } from './remains.ts';

export interface RemainsControllerOptions {
  readonly domains: Pick<HypervisorDomains, 'find'>;
  readonly remains: Remains;
  readonly locks: KeyLocks;
  readonly log: Logger;
}

/** Takes away what creations have left that failed or were cancelled. */
export class RemainsController implements Controller {
  readonly name = 'remains';
  readonly inputs: readonly Input[] = ['domains', 'operations'];
  readonly outputs: readonly Output[] = ['remains'];
  readonly #options: RemainsControllerOptions;

  constructor(options: RemainsControllerOptions) {
    this.#options = options;
  }

  concern({ domain }: SeenVm): string | undefined {
    return domain !== undefined && this.#options.remains.is(domain) ? 'given-up' : undefined;
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { domains, remains, locks, log } = this.#options;
    // Whoever creates the VM again takes them away first.
    using lock = locks.tryAcquire(vmUid, 'removal of what a creation has left', {
      isByItself: true,
    });
    if (lock === undefined) return undefined;
    const now = await domains.find(vmUid, signal);
    if (now?.definition === undefined || !remains.is(now)) return undefined;
    await remains.remove(now.definition, signal);
    log.warn(
      { vmId: vmUid, hypervisorName: now.hypervisorName },
      'What a creation has left that had failed or was cancelled is removed',
    );
    return undefined;
  }
}
