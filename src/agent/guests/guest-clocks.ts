import { delay } from '../../core/delay.ts';
import { AgentError, hasReason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { TaskGroup } from '../../core/task-group.ts';
import type { HypervisorEvents } from '../../drivers/hypervisor-events.ts';
import type { HypervisorGuestAgent } from '../../drivers/hypervisor-guest-agent.ts';
import type { Ownership } from '../vms/ownership.ts';
import type { VmInventory } from '../vms/vm-inventory.ts';

export interface GuestClocksOptions {
  readonly guestAgent: Pick<HypervisorGuestAgent, 'syncTime'>;
  readonly events: HypervisorEvents;
  readonly inventory: Pick<VmInventory, 'findByUid'>;
  readonly ownership: Pick<Ownership, 'isOwner'>;
  readonly tasks: TaskGroup;
  readonly log: Logger;
  /** Before each look at whether the guest agent listens. */
  readonly looksAfterMs?: readonly number[] | undefined;
}

/** One that has arrived is owned, and its guest agent heard, a little later than it runs. */
const LOOKS_AFTER_MS = [300, 2_000, 5_000] as const;

/**
 * Sets the clocks of guests that have stood still: after a resume, whoever has asked for it, and after a migration. A best effort,
 * which nobody waits for: guests without an agent keep their clock as it is, and so do those that run on while this agent is away.
 */
export class GuestClocks {
  readonly #options: GuestClocksOptions;
  readonly #setting = new Set<string>();

  constructor(options: GuestClocksOptions) {
    this.#options = options;
  }

  /** Until aborted. Give it to the task group. */
  async run(signal: AbortSignal): Promise<void> {
    for await (const event of this.#options.events.watch(signal)) {
      if (event.kind !== 'lifecycle' || event.event !== 'resumed') continue;
      const { uid } = event;
      if (this.#setting.has(uid)) continue;
      this.#setting.add(uid);
      this.#options.tasks.run('guest-clock', (stop) => this.#setOnceHeard(uid, stop));
    }
  }

  async #setOnceHeard(vmUid: string, signal: AbortSignal): Promise<void> {
    try {
      let refusal: AgentError | undefined;
      for (const ms of this.#options.looksAfterMs ?? LOOKS_AFTER_MS) {
        await delay(ms, signal);
        if (!this.#isHeard(vmUid)) continue;
        refusal = await this.#set(vmUid, signal);
        // A guest that is frozen refuses, until it is thawed, which may be overdue.
        if (!hasReason(refusal, 'GUEST_AGENT_REFUSED')) break;
      }
      if (refusal === undefined) return;
      const about = { vmId: vmUid, err: refusal };
      this.#options.log.warn(about, 'Cannot set the clock of a guest that has stood still');
    } finally {
      this.#setting.delete(vmUid);
    }
  }

  /** A VM that is being started has no guest agent yet, and reads its clock by itself. */
  #isHeard(vmUid: string): boolean {
    const { inventory, ownership } = this.#options;
    const vm = inventory.findByUid(vmUid);
    const runs = vm?.phase === 'running' || vm?.phase === 'migrating';
    return runs && vm.guestAgent === 'connected' && ownership.isOwner(vmUid);
  }

  /** What it fails with, if it does. */
  async #set(vmUid: string, signal: AbortSignal): Promise<AgentError | undefined> {
    const { guestAgent, log } = this.#options;
    try {
      await guestAgent.syncTime(vmUid, signal);
      log.info({ vmId: vmUid }, 'Clock of a guest set after it had stood still');
      return undefined;
    } catch (error) {
      if (error instanceof AgentError) return error;
      throw error;
    }
  }
}
