import { AgentError } from '../../core/errors.ts';
import { findVm } from '../vms/find-vm.ts';
import type { Ownership } from '../vms/ownership.ts';
import { assertRead } from '../vms/unread-vms.ts';
import type { Vm, VmRef } from '../vms/vm.ts';
import type { VmInventory } from '../vms/vm-inventory.ts';
import { assertNotHeld, assertNotPaused, assertOn } from '../vms/vm-pauses.ts';
import type { Whereabouts } from '../vms/whereabouts.ts';

export interface GuestVmsOptions {
  readonly inventory: VmInventory;
  readonly whereabouts: Whereabouts;
  readonly ownership: Pick<Ownership, 'assertOwned'>;
}

/** The VMs whose guests can be asked. */
export class GuestVms {
  readonly #options: GuestVmsOptions;

  constructor(options: GuestVmsOptions) {
    this.#options = options;
  }

  /** The VM that is meant. Fails unless its guest runs here. `purpose` completes "Cannot … VM web". */
  async get(ref: VmRef, purpose: string, signal: AbortSignal): Promise<Vm> {
    const { inventory, ownership } = this.#options;
    await inventory.refresh(signal);
    const vm = findVm(ref, this.#options);
    assertRead(vm);
    ownership.assertOwned(vm.definition);
    assertOn(vm, purpose);
    assertNotHeld(vm, purpose);
    assertNotPaused(vm, purpose);
    return vm;
  }

  /** The same, with a guest agent that listens. */
  async getConnected(ref: VmRef, purpose: string, signal: AbortSignal): Promise<Vm> {
    const vm = await this.get(ref, purpose, signal);
    const problem = whyNotConnected(vm);
    if (problem === undefined) return vm;
    const { name, uid } = vm.definition;
    throw new AgentError('GUEST_AGENT_NOT_CONNECTED', `Cannot ${purpose} VM ${name}: ${problem}`, {
      metadata: { vmId: uid },
    });
  }
}

/** Why no guest agent can be asked, and what to do; undefined if one can. */
export function whyNotConnected({ guestAgent }: Pick<Vm, 'guestAgent'>): string | undefined {
  if (guestAgent === 'connected') return undefined;
  if (guestAgent === undefined) {
    return 'it has no channel for a guest agent, as it was not made by this agent; give it one with virsh edit (a channel whose target is org.qemu.guest_agent.0), and start it anew';
  }
  return 'no guest agent listens in its guest; install the package qemu-guest-agent there, start it, and wait until it is up (condition GuestAgentConnected)';
}
