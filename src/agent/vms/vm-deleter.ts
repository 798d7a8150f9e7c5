import { AgentError } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { HypervisorDomains } from '../../drivers/hypervisor-domains.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import { lockNow, lockVm } from './busy.ts';
import { keptDisksNote } from './disk-notes.ts';
import type { DiskUsers } from './disk-users.ts';
import { assertMeant, isMeant } from './meant-vm.ts';
import type { Ownership } from './ownership.ts';
import { assertWhole, intend } from './power-steps.ts';
import { assertRead } from './unread-vms.ts';
import type { DeleteOptions, DeleteOutcome, Vm, VmRef } from './vm.ts';
import { type VmDisks } from './vm-disks.ts';
import type { VmInventory } from './vm-inventory.ts';
import { isOff, isSaved, wasMovedAway } from './vm-phase.ts';
import { commandNameOf } from './vm-words.ts';
import type { Whereabouts } from './whereabouts.ts';

export interface VmDeleterOptions {
  readonly domains: Pick<
    HypervisorDomains,
    'list' | 'find' | 'setFacts' | 'destroy' | 'undefine' | 'removeFiles'
  >;
  readonly privateFiles: Pick<PrivateFiles, 'remove'>;
  readonly disks: Pick<VmDisks, 'remove' | 'removeUnused' | 'removeUnusedOf'>;
  readonly diskUsers: Pick<DiskUsers, 'assertNone'>;
  readonly inventory: VmInventory;
  readonly ownership: Ownership;
  readonly whereabouts: Whereabouts;
  readonly locks: KeyLocks;
  readonly log: Logger;
}

/** Deletes VMs, and says what it means to delete one that is not here. */
export class VmDeleter {
  readonly #options: VmDeleterOptions;

  constructor(options: VmDeleterOptions) {
    this.#options = options;
  }

  /**
   * Says which VM is meant, or what it means to delete it if it is not here. Fails if it can be told at once that it cannot
   * be deleted; changes nothing.
   */
  async assertCan(
    ref: VmRef,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<Vm | Exclude<DeleteOutcome, 'deleted'>> {
    const { domains, inventory, whereabouts } = this.#options;
    await inventory.refresh(signal);
    const found = inventory.findByName(ref.namespace, ref.name);
    if (found === undefined || !isMeant(found, ref)) return this.#absence(ref, found, signal);
    assertRead(found);
    whereabouts.assertDeletable(found.definition, options);
    if (wasMovedAway(found)) await whereabouts.assertNotMovedAway(found, signal);
    await this.#assertDisksMayGo(found, options, signal);
    if (options.force) await assertWhole(domains, found.definition, signal);
    // What moves it is in the way of its shutdown too, so whoever looks at operations next says that.
    else if (found.phase !== 'migrating') assertNothingLost(found);
    return found;
  }

  async delete(ref: VmRef, options: DeleteOptions, signal: AbortSignal): Promise<DeleteOutcome> {
    const { inventory, whereabouts, locks, log } = this.#options;
    await inventory.refresh(signal);
    const found = inventory.findByName(ref.namespace, ref.name);
    if (found === undefined || !isMeant(found, ref)) {
      const outcome = await this.#absence(ref, found, signal);
      if (ref.uid !== undefined) await this.#forget(ref.uid, signal);
      return outcome;
    }
    assertRead(found);
    const vmUid = found.definition.uid;
    const hasWaited = await locks.untilNotByItself(vmUid, signal);
    // It may be another thing to delete it by now.
    if (hasWaited) return this.delete(ref, options, signal);
    using _lock = lockNow(locks, found.definition, { verb: 'delete' });
    // A migration that has just ended has freed the lock.
    whereabouts.assertDeletable(found.definition, options);
    if (wasMovedAway(found)) await whereabouts.assertNotMovedAway(found, signal);
    if (!options.force) assertNothingLost(found);
    await this.#assertDisksMayGo(found, options, signal);
    await this.#remove(found, options, signal);
    log.info({ vmId: vmUid }, 'VM deleted');
    await inventory.refresh(signal);
    return 'deleted';
  }

  /** What stays of a VM that is deleted without its disks, for people; undefined if that is nothing. Those of a copy are not its own. */
  findKeptDisks({ namespace, name }: VmRef): string | undefined {
    const { inventory, ownership } = this.#options;
    const found = inventory.findByName(namespace, name);
    if (found === undefined || ownership.isUnowned(found.definition)) return undefined;
    return keptDisksNote(found.definition);
  }

  /** Removes disks that were made for a VM which has not come to be, and were never written to. */
  async removeUnusedDisks(vmUid: string, signal: AbortSignal): Promise<void> {
    const { domains, disks, locks } = this.#options;
    using lock = locks.tryAcquire(vmUid, 'delete');
    if (lock === undefined || (await domains.find(vmUid, signal)) !== undefined) return;
    await disks.removeUnusedOf(vmUid, signal);
  }

  /** What it means to delete a VM that is not here; `namesake` has its name now. */
  async #absence(
    ref: VmRef,
    namesake: Vm | undefined,
    signal: AbortSignal,
  ): Promise<Exclude<DeleteOutcome, 'deleted'>> {
    const outcome = await this.#options.whereabouts.deletionOf(ref, signal);
    // Nothing is known of the VM that is meant, so it must be this one that was mistaken for it.
    if (namesake !== undefined && outcome === 'never-here') assertMeant(namesake, ref);
    return outcome;
  }

  /** An agent that was killed, or somebody else, may have undefined a VM and not come to the rest. */
  async #forget(vmUid: string, signal: AbortSignal): Promise<void> {
    const { domains, ownership, privateFiles, locks } = this.#options;
    const record = ownership.find(vmUid);
    if (record === undefined || !ownership.isOwner(vmUid)) return;
    // One that is arriving has files already.
    using _lock = await lockVm(locks, record, { verb: 'delete' }, signal);
    await ownership.forget({ ...record, owner: '' });
    await domains.removeFiles(vmUid, signal);
    await privateFiles.remove(vmUid, signal);
  }

  async #assertDisksMayGo(vm: Vm, options: DeleteOptions, signal: AbortSignal): Promise<void> {
    if (options.disks !== 'remove') return;
    this.#assertOwnDisks(vm);
    await this.#options.diskUsers.assertNone(vm.definition, signal);
  }

  /** The disks of a copy are those of the VM that another node owns, and of one that is not confirmed they may be. */
  #assertOwnDisks({ definition }: Vm): void {
    const { ownership } = this.#options;
    const { name, uid } = definition;
    const isOurs = !ownership.isUnowned(definition) && ownership.unconfirmed(uid) === undefined;
    if (isOurs) return;
    throw new AgentError(
      'VM_NOT_OWNED',
      `Cannot delete VM ${name} with its disks: another node owns it, or may, and they are the disks of the VM there; delete it without them`,
      { metadata: { vmId: uid } },
    );
  }

  async #remove(vm: Vm, options: DeleteOptions, signal: AbortSignal): Promise<void> {
    const { domains, ownership, privateFiles, disks } = this.#options;
    const { definition } = vm;
    await assertWhole(domains, definition, signal);
    // Whatever happens in between, nothing shall start it again.
    await intend(domains, definition, 'off', signal);
    if (!isOff(vm)) await domains.destroy(definition.uid, signal);
    // Before the VM: once that is gone, nobody knows any more that they were to go.
    if (options.disks === 'remove') await disks.remove(definition, signal);
    else if (options.disks === 'remove-unused') await disks.removeUnused(definition, signal);
    await domains.undefine(definition.uid, signal);
    await ownership.forget(definition);
    await privateFiles.remove(definition.uid, signal);
  }
}

/** What a guest has in memory goes with the VM, be it on or saved. */
function assertNothingLost(vm: Vm): void {
  const { definition, phase } = vm;
  if (isOff(vm) && !isSaved(vm)) return;
  const why = isSaved(vm)
    ? `its memory is saved in a file, and what its guest had not written to its disks would be lost; start it with novactl vm start ${commandNameOf(definition)}, which goes on from there, and shut it down`
    : `it is ${phase}; shut it down first`;
  throw new AgentError(
    'VM_RUNNING',
    `Cannot delete VM ${definition.name}: ${why}, or force its deletion`,
    { metadata: { vmId: definition.uid } },
  );
}
