import { hasReason } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDomains, HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import type { GivenUpCreations } from '../operations/given-up-creations.ts';
import type { Ownership } from './ownership.ts';
import type { VmDisks } from './vm-disks.ts';

export interface RemainsOptions {
  readonly domains: Pick<HypervisorDomains, 'undefine'>;
  readonly privateFiles: Pick<PrivateFiles, 'remove'>;
  readonly disks: Pick<VmDisks, 'removeUnused'>;
  readonly ownership: Ownership;
  readonly creations: Pick<GivenUpCreations, 'find'>;
  /** Whether anybody has seen a VM run, whatever the hypervisor has forgotten. Must cost nothing. */
  readonly hasRun: (vmUid: string) => boolean;
}

/**
 * What creations leave that failed or were cancelled, because the hypervisor was away while they were taken back, or did what
 * it was told only afterwards. It is no VM: nobody who asks is told of it, and it is never started.
 */
export class Remains {
  readonly #options: RemainsOptions;

  constructor(options: RemainsOptions) {
    this.#options = options;
  }

  /** Whether this is what a creation has left: made by it, and never seen to run. Costs nothing. */
  is({ uid, state, stateReason, definition }: HypervisorVm): boolean {
    const creation = this.#options.creations.find(uid);
    if (creation === undefined || definition === undefined) return false;
    // A start that came late has made it a VM, which is off without a reason after every reboot.
    if (this.#options.hasRun(uid)) return false;
    const { createdAtMs } = definition;
    if (createdAtMs < creation.requestedAtMs || createdAtMs > creation.endedAtMs) return false;
    const { ownership } = this.#options;
    // What was to be changed was there before, whatever the clock says.
    if (creation.kind === 'apply' && ownership.isOwner(uid)) return false;
    if (ownership.isStray(definition)) return false;
    return state === 'stopped' && (stateReason === 'unknown' || stateReason === 'failed');
  }

  /**
   * Takes them away; call it under the VM's lock. The definition goes last: for as long as it is there, the next agent knows
   * that there is something to be taken away. Fails with VM_RUNNING if somebody has started it since it was found: then it is a VM.
   */
  async remove(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { domains, privateFiles, disks, ownership } = this.#options;
    const { uid } = definition;
    const wasOwner = ownership.isOwner(uid);
    if (wasOwner) await ownership.forget(definition);
    await privateFiles.remove(uid, signal);
    await disks.removeUnused(definition, signal);
    try {
      await domains.undefine(uid, signal);
    } catch (error) {
      if (wasOwner && hasReason(error, 'VM_RUNNING')) await ownership.own(definition);
      throw error;
    }
  }
}
