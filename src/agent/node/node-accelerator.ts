import { delay } from '../../core/delay.ts';
import { AgentError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { BootFinding, BootProbe } from '../../drivers/boot-probe.ts';
import type { Accelerator } from '../../drivers/hypervisor-host.ts';

/** As configured; `auto` takes KVM where a guest boots with it. */
export type WantedAccelerator = Accelerator | 'auto';

export interface AcceleratorState {
  readonly wanted: WantedAccelerator;
  /** What new VMs run on; undefined until it is known. */
  readonly accelerator: Accelerator | undefined;
  /** Undefined until a guest has been tried, and where TCG is wanted. */
  readonly finding: BootFinding | undefined;
}

export interface NodeAcceleratorOptions {
  readonly wanted: WantedAccelerator;
  readonly probe: BootProbe;
  /** Pause before another try where no guest boots. */
  readonly tryAgainMs?: number;
  /** Pause before another try where it could not be tried. */
  readonly retryMs?: number;
  readonly log: Logger;
}

/** The machine may have been busy, or somebody may have made KVM work since. */
const DEFAULT_TRY_AGAIN_MS = 3_600_000;
const DEFAULT_RETRY_MS = 5_000;

/** What VMs of this node run on. */
export class NodeAccelerator {
  readonly #options: NodeAcceleratorOptions;
  #finding: BootFinding | undefined;

  constructor(options: NodeAcceleratorOptions) {
    this.#options = options;
  }

  get state(): AcceleratorState {
    return { wanted: this.#options.wanted, accelerator: this.current, finding: this.#finding };
  }

  /** Undefined until it is known. */
  get current(): Accelerator | undefined {
    const { wanted } = this.#options;
    if (wanted !== 'auto') return wanted;
    if (this.#finding === undefined) return undefined;
    return this.#finding.boots ? 'kvm' : 'tcg';
  }

  /** Fails with STATE_NOT_READY until it is known, which takes seconds; `deed` is what has to wait. */
  assertKnown(deed: string): Accelerator {
    const { current } = this;
    if (current !== undefined) return current;
    throw new AgentError(
      'STATE_NOT_READY',
      `${deed} yet: the node is finding out whether guests boot with KVM; try again in some seconds, or set hypervisor.accelerator in the agent's configuration`,
      { retryAfterMs: 1_000 },
    );
  }

  /** Finds it out, again and again where no guest boots, until aborted. Give it to the task group. */
  async run(signal: AbortSignal): Promise<void> {
    const { wanted, tryAgainMs = DEFAULT_TRY_AGAIN_MS, log } = this.#options;
    if (wanted === 'tcg') return;
    for (;;) {
      const before = this.#finding;
      const finding = await this.#find(signal);
      this.#finding = finding;
      if (before?.boots !== finding.boots || before.why !== finding.why) {
        const { boots, why } = finding;
        if (boots) log.info({ accelerator: this.current }, 'Guests boot with KVM');
        else log.warn({ accelerator: this.current, why }, 'No guest boots with KVM');
      }
      if (finding.boots) return;
      await delay(tryAgainMs, signal);
    }
  }

  /** As on a full disk it may fail; new VMs wait, and nothing else. */
  async #find(signal: AbortSignal): Promise<BootFinding> {
    const { probe, retryMs = DEFAULT_RETRY_MS, log } = this.#options;
    for (;;) {
      try {
        return await probe.find(signal);
      } catch (error) {
        signal.throwIfAborted();
        log.warn({ err: error }, 'Cannot find out whether guests boot with KVM; trying again');
        await delay(retryMs, signal);
      }
    }
  }
}
