import { isHypervisorAway } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { VmInventory } from '../vms/vm-inventory.ts';
import type { GuestShutdowns } from './guest-shutdowns.ts';
import type { NodeShutdown, ShutdownRequest, ShutdownService } from './node-shutdown.ts';
import { DEFAULT_TIMEOUT_MS, type ShutdownMark } from './shutdown-mark.ts';

export interface ShutdownManagerOptions {
  readonly mark: ShutdownMark;
  readonly guests: GuestShutdowns;
  readonly inventory: Pick<VmInventory, 'refresh' | 'requestRefresh'>;
  /** Called when there is something new to be told. */
  readonly onProgress: () => void;
  readonly log: Logger;
}

/** Says that the host is about to go down, or no more; `ShutdownController` sees to the VMs. */
export class ShutdownManager implements ShutdownService {
  readonly #options: ShutdownManagerOptions;

  constructor(options: ShutdownManagerOptions) {
    this.#options = options;
  }

  async shutDown(request: ShutdownRequest, signal: AbortSignal): Promise<NodeShutdown> {
    const { mark, guests, onProgress, log } = this.#options;
    const { timeoutMs, requestedBy, dryRun } = request;
    if (dryRun) {
      await this.#refreshIfReachable(signal);
      return guests.plan(timeoutMs ?? DEFAULT_TIMEOUT_MS, requestedBy);
    }
    await mark.begin(timeoutMs, requestedBy);
    log.warn({ requestedBy, leftMs: mark.leftMs }, 'The node is being shut down');
    guests.begin();
    try {
      // Its VMs are known from here on, and the reconciler has begun with them.
      await this.#refreshIfReachable(signal);
    } finally {
      guests.noteListed();
      onProgress();
    }
    return guests.report() ?? guests.plan(0, requestedBy);
  }

  async abort(signal: AbortSignal): Promise<void> {
    const { mark, guests, inventory, onProgress, log } = this.#options;
    signal.throwIfAborted();
    if (!mark.isGoingDown) return;
    await mark.end();
    guests.forget();
    log.warn({}, 'The shutdown of the node is called off');
    inventory.requestRefresh();
    onProgress();
  }

  /** While the hypervisor is away, what was known is told, marked as unknown. */
  async #refreshIfReachable(signal: AbortSignal): Promise<void> {
    try {
      await this.#options.inventory.refresh(signal);
    } catch (error) {
      if (!isHypervisorAway(error)) throw error;
    }
  }
}
