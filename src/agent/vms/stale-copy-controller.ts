import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import {
  type HypervisorDomains,
  type HypervisorVm,
  isSplit,
  type VmStateReason,
} from '../../drivers/hypervisor-domains.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import type { Ownership } from './ownership.ts';
import type { VmLocator } from './vm-locator.ts';

export interface StaleCopyControllerOptions {
  readonly domains: Pick<HypervisorDomains, 'find' | 'destroy'>;
  readonly ownership: Ownership;
  readonly locator: Pick<VmLocator, 'ask'>;
  readonly locks: KeyLocks;
  readonly log: Logger;
}

const BY_MIGRATION: readonly VmStateReason[] = [
  'migrated',
  'migration',
  'postcopy',
  'postcopy-failed',
];
/** How often the owner of a copy that somebody has started is asked whether the VM runs there. */
const ASK_AGAIN_MS = 10_000;

/**
 * Cuts the power of copies that another node owns, say one that somebody has started by hand. Of a stale copy that was
 * recorded only after the other node had said so, and there is no doubt to respect. A stray copy that was booted here may be the
 * only one, so its owner is asked, and it loses its power only if the VM runs there. The definition stays, for somebody to
 * look at and delete.
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
    return domain && this.#kindOf(domain);
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { domains, locks, log } = this.#options;
    // A migration that is about to settle removes the copy itself.
    using lock = locks.tryAcquire(vmUid, 'removal of a stale copy', { isByItself: true });
    if (lock === undefined) return undefined;
    // What was seen may be older than a return of the VM to this node.
    const now = await domains.find(vmUid, signal);
    const kind = now && this.#kindOf(now);
    // The copy that the other node runs still needs one that it is split with, which stands still.
    if (now === undefined || kind === undefined) return undefined;
    if (isSplit(now) && now.state !== 'running') return undefined;
    if (kind === 'second' && !(await this.#runsAtOwner(vmUid, signal))) {
      return { afterMs: ASK_AGAIN_MS };
    }
    log.error(
      { vmId: vmUid, hypervisorName: now.hypervisorName },
      'A copy of a VM that another node owns was running; its power is cut',
    );
    await domains.destroy(vmUid, signal);
    return undefined;
  }

  /** `second`: perhaps, if the VM runs at its owner. */
  #kindOf(vm: HypervisorVm): 'stale' | 'second' | undefined {
    const { ownership } = this.#options;
    const { definition, state, stateReason } = vm;
    if (definition === undefined || (state !== 'running' && state !== 'paused')) return undefined;
    if (ownership.isStale(definition)) return 'stale';
    // One that was migrated here is the VM itself, and its owner may not know that it has left.
    return ownership.isStray(definition) && !BY_MIGRATION.includes(stateReason)
      ? 'second'
      : undefined;
  }

  async #runsAtOwner(vmUid: string, signal: AbortSignal): Promise<boolean> {
    const answers = await this.#options.locator.ask(vmUid, signal);
    return answers.some(({ isOwner, isRunning }) => isOwner && isRunning);
  }
}
