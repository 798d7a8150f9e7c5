import { AgentError } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import { runStrategyOf, startsAtOnce } from '../../core/resources/run-strategy.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { ConsoleReader } from '../../drivers/console.ts';
import { type HypervisorDomains, isSplit } from '../../drivers/hypervisor-domains.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import type { CapacityLedger } from '../node/capacity-ledger.ts';
import { pageOf } from '../reports/paging.ts';
import type { Origins, Page, PageRequest, WatchCursor } from '../reports/report.ts';
import { busy } from './busy.ts';
import { nameKey } from './name-key.ts';
import type { Ownership } from './ownership.ts';
import type { ShutdownRequests } from './shutdown-requests.ts';
import { assertRead } from './unread-vms.ts';
import type {
  ApplyOptions,
  ApplyResult,
  ConsoleOptions,
  CreateOptions,
  CreateResult,
  DeleteOptions,
  DeleteOutcome,
  Vm,
  VmEvent,
  VmFilter,
  VmRef,
  VmService,
} from './vm.ts';
import type { VmApplier } from './vm-applier.ts';
import type { VmCreator } from './vm-creator.ts';
import { compareKeys, isHypervisorAway, type VmInventory } from './vm-inventory.ts';
import { isOff, wasMovedAway } from './vm-phase.ts';
import type { Whereabouts } from './whereabouts.ts';

export interface VmManagerOptions {
  readonly domains: HypervisorDomains;
  readonly privateFiles: Pick<PrivateFiles, 'remove'>;
  readonly inventory: VmInventory;
  readonly creator: VmCreator;
  readonly applier: VmApplier;
  readonly capacity: CapacityLedger;
  readonly ownership: Ownership;
  readonly whereabouts: Whereabouts;
  readonly console: ConsoleReader;
  readonly origins: Origins;
  /** One operation per VM, shared with migrations; the key is the VM's uid. */
  readonly locks: KeyLocks;
  readonly shutdowns: ShutdownRequests;
  readonly log: Logger;
}

const STRATEGY_FIELDS: readonly string[] = ['spec.runStrategy', 'spec.running'];

/** Carries out what callers want of the VMs of this node. */
export class VmManager implements VmService {
  readonly #options: VmManagerOptions;

  constructor(options: VmManagerOptions) {
    this.#options = options;
    options.inventory.onStopped((vmUid) => options.shutdowns.delete(vmUid));
  }

  create(manifest: unknown, options: CreateOptions, signal: AbortSignal): Promise<CreateResult> {
    return this.#options.creator.create(manifest, options, signal);
  }

  async apply(manifest: unknown, options: ApplyOptions, signal: AbortSignal): Promise<ApplyResult> {
    const result = await this.#options.applier.apply(manifest, options, signal);
    if (options.dryRun || !isGivenStart(result)) return result;
    const { namespace, name, uid } = result.vm.definition;
    try {
      return { ...result, vm: await this.start({ namespace, name, uid }, signal) };
    } catch (error) {
      // The change is made all the same, and applying it again would find nothing to do.
      if (!(error instanceof AgentError)) throw error;
      const warning = `VM ${name} was changed but not started: ${error.message}; start it when that is mended`;
      return { ...result, warnings: [...result.warnings, warning] };
    }
  }

  async get(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    await this.#refreshIfReachable(signal);
    return this.#find(ref);
  }

  async list(filter: VmFilter, page: PageRequest, signal: AbortSignal): Promise<Page<Vm>> {
    await this.#refreshIfReachable(signal);
    const origin = this.#options.origins.current();
    return pageOf(this.#options.inventory.list(filter), page, {
      keyOf: ({ definition }) => nameKey(definition),
      isAfter: (key, other) => compareKeys(key, other) > 0,
      filter,
      origin,
    });
  }

  async *watch(
    filter: VmFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<VmEvent, void, undefined> {
    const { inventory, whereabouts } = this.#options;
    for await (const event of inventory.watch(filter, cursor, signal)) {
      if (event.type !== 'deleted') yield event;
      else yield { ...event, movedToNode: whereabouts.movedTo(event.object.definition.uid) };
    }
  }

  /** Says which VM is meant, and fails if it can be told at once that something cannot be done to it. Changes nothing. */
  async assertCan(
    verb: 'start' | 'shutdown' | 'destroy',
    ref: VmRef,
    signal: AbortSignal,
  ): Promise<Vm> {
    const { inventory, ownership, capacity } = this.#options;
    await inventory.refresh(signal);
    const vm = this.#find(ref);
    assertRead(vm);
    const { definition } = vm;
    if (verb === 'start') {
      ownership.assertOwned(definition);
      assertNotHalted(definition);
      if (isOff(vm)) {
        capacity.setAside(definition, { reservationId: undefined, isOn: true })[Symbol.dispose]();
      }
    }
    if (verb === 'destroy') await this.#assertWhole(vm, signal);
    return vm;
  }

  /** Says which VM is meant, or what it means to delete it if it is not here. Fails as `assertCan` does. */
  async assertCanDelete(
    ref: VmRef,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<Vm | Exclude<DeleteOutcome, 'deleted'>> {
    const { inventory, whereabouts } = this.#options;
    await inventory.refresh(signal);
    const found = inventory.findByName(ref.namespace, ref.name);
    if (found === undefined || !isMeant(found, ref)) return this.#absence(ref, found, signal);
    assertRead(found);
    whereabouts.assertDeletable(found.definition, options);
    if (wasMovedAway(found)) await whereabouts.assertNotMovedAway(found, signal);
    if (options.force) await this.#assertWhole(found, signal);
    else assertOff(found);
    return found;
  }

  start(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'start', signal, async (vm) => {
      const { domains, inventory, capacity, ownership, shutdowns } = this.#options;
      const { definition } = vm;
      ownership.assertOwned(definition);
      assertNotHalted(definition);
      using _amount = isOff(vm)
        ? capacity.setAside(definition, { reservationId: undefined, isOn: true })
        : undefined;
      await this.#intend(definition, 'on', signal);
      shutdowns.delete(definition.uid);
      await domains.start(definition.uid, signal);
      // The memory stays set aside until the inventory knows that the VM runs.
      await inventory.refresh(signal);
    });
  }

  shutdown(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'shutdown', signal, async (vm) => {
      await this.#intend(vm.definition, 'off', signal);
      if (isOff(vm)) return;
      this.#options.shutdowns.add(vm.definition.uid);
      try {
        await this.#options.domains.shutdown(vm.definition.uid, signal);
      } catch (error) {
        this.#options.shutdowns.delete(vm.definition.uid);
        throw error;
      }
    });
  }

  /** Nobody waits any more for a guest that was asked to power off. */
  stopWaiting(vmUid: string): void {
    const { shutdowns, inventory } = this.#options;
    shutdowns.delete(vmUid);
    inventory.requestRefresh();
  }

  destroy(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'destroy', signal, async (vm) => {
      await this.#assertWhole(vm, signal);
      await this.#intend(vm.definition, 'off', signal);
      await this.#options.domains.destroy(vm.definition.uid, signal);
    });
  }

  /**
   * Has no run strategy start a VM that was moved away behind the agent's back. Only libvirt knows of that, and forgets it
   * when it restarts; the intent lasts. A VM that has come back in the meantime is left alone.
   */
  noteMovedAway(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'note-moved-away', signal, async (vm) => {
      if (wasMovedAway(vm)) await this.#intend(vm.definition, 'off', signal);
    });
  }

  async delete(ref: VmRef, options: DeleteOptions, signal: AbortSignal): Promise<DeleteOutcome> {
    const { inventory, whereabouts, log } = this.#options;
    await inventory.refresh(signal);
    const found = inventory.findByName(ref.namespace, ref.name);
    if (found === undefined || !isMeant(found, ref)) {
      const outcome = await this.#absence(ref, found, signal);
      if (ref.uid !== undefined) await this.#forget(ref.uid, signal);
      return outcome;
    }
    assertRead(found);
    const vmUid = found.definition.uid;
    using _lock = this.#lock(found, 'delete');
    // A migration that has just ended has freed the lock.
    whereabouts.assertDeletable(found.definition, options);
    if (wasMovedAway(found)) await whereabouts.assertNotMovedAway(found, signal);
    if (!options.force) assertOff(found);
    await this.#remove(found, signal);
    log.info({ vmId: vmUid }, 'VM deleted');
    await inventory.refresh(signal);
    return 'deleted';
  }

  /** What it means to delete a VM that is not here; `namesake` has its name now. */
  async #absence(
    ref: VmRef,
    namesake: Vm | undefined,
    signal: AbortSignal,
  ): Promise<Exclude<DeleteOutcome, 'deleted'>> {
    const outcome = await this.#options.whereabouts.deletionOf(ref, signal);
    // Nothing is known of the VM that is meant, so it must be this one that was mistaken for it.
    if (namesake !== undefined && outcome === 'never-here') assertUid(namesake, ref);
    return outcome;
  }

  /** An agent that was killed, or somebody else, may have undefined a VM and not come to the rest. */
  async #forget(vmUid: string, signal: AbortSignal): Promise<void> {
    const { ownership, privateFiles, locks } = this.#options;
    const record = ownership.find(vmUid);
    if (record === undefined || !ownership.isOwner(vmUid)) return;
    // One that is arriving has files already.
    using lock = locks.tryAcquire(vmUid, 'delete');
    if (lock === undefined) throw busy('delete', record, locks);
    await ownership.forget({ ...record, owner: '' });
    await privateFiles.remove(vmUid, signal);
  }

  async #remove(vm: Vm, signal: AbortSignal): Promise<void> {
    const { domains, ownership, privateFiles, shutdowns } = this.#options;
    const vmUid = vm.definition.uid;
    await this.#assertWhole(vm, signal);
    // Whatever happens in between, nothing shall start it again.
    await this.#intend(vm.definition, 'off', signal);
    if (!isOff(vm)) await domains.destroy(vmUid, signal);
    await domains.undefine(vmUid, signal);
    await ownership.forget(vm.definition);
    shutdowns.delete(vmUid);
    await privateFiles.remove(vmUid, signal);
  }

  async *readConsole(
    ref: VmRef,
    options: ConsoleOptions,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    await this.#refreshIfReachable(signal);
    const vm = this.#find(ref);
    const found = await this.#options.domains.find(vm.definition.uid, signal);
    if (found?.consoleLogPath === undefined) return;
    yield* this.#options.console.read(found.consoleLogPath, options, signal);
  }

  /** Runs one change of a VM under its lock and reports the VM afterwards. */
  async #change(
    ref: VmRef,
    purpose: string,
    signal: AbortSignal,
    change: (vm: Vm) => Promise<void>,
  ): Promise<Vm> {
    const { inventory } = this.#options;
    await inventory.refresh(signal);
    const vm = this.#find(ref);
    assertRead(vm);
    using _lock = this.#lock(vm, purpose);
    await change(vm);
    this.#options.log.info({ vmId: vm.definition.uid, operation: purpose }, 'VM changed');
    await inventory.refresh(signal);
    return this.#find(ref);
  }

  /** Must be called, under the VM's lock, before its power is cut: what is lost with one half is lost for the guest. */
  async #assertWhole({ definition }: Vm, signal: AbortSignal): Promise<void> {
    const { uid, name } = definition;
    // One that hangs is listed all the same, and its power can be cut.
    const listed = await this.#options.domains.list(signal);
    const now = listed.find((candidate) => candidate.uid === uid);
    if (now === undefined || !isSplit(now)) return;
    throw new AgentError(
      'MIGRATION_PAST_SWITCHOVER',
      `Cannot cut the power of VM ${name}: its memory is on two nodes, and neither half is worth anything without the other; mend the link between the nodes and wait for the rest of its memory; if the other node is lost for good, so is the guest, and virsh destroy ends it`,
      { metadata: { vmId: uid } },
    );
  }

  #lock(vm: Vm, purpose: string): Disposable {
    const { locks } = this.#options;
    const lock = locks.tryAcquire(vm.definition.uid, purpose);
    if (lock !== undefined) return lock;
    throw busy(purpose, vm.definition, locks);
  }

  async #intend(
    { uid, intent: before }: VmDefinition,
    intent: VmDefinition['intent'],
    signal: AbortSignal,
  ): Promise<void> {
    if (before !== intent) await this.#options.domains.setFacts(uid, { intent }, signal);
  }

  #find(ref: VmRef): Vm {
    const { inventory, whereabouts } = this.#options;
    // Refuses to answer, and to give away memory, before it is known what is here.
    inventory.assertListed();
    const vm = inventory.findByName(ref.namespace, ref.name);
    if (vm === undefined) {
      inventory.assertAbsent(ref);
      throw whereabouts.notFound(ref, 'find');
    }
    if (!isMeant(vm, ref) && whereabouts.movedTo(ref.uid ?? '') !== undefined) {
      throw whereabouts.notFound(ref, 'find');
    }
    assertUid(vm, ref);
    return vm;
  }

  /** While the hypervisor is away, readers get what was known, marked as unknown. */
  async #refreshIfReachable(signal: AbortSignal): Promise<void> {
    try {
      await this.#options.inventory.refresh(signal);
    } catch (error) {
      if (!isHypervisorAway(error) || !this.#options.inventory.listedOnce) throw error;
    }
  }
}

/** Whether a VM has been given a strategy that starts it once; those that are Always are seen to by themselves. */
function isGivenStart({ outcome, changes, vm }: ApplyResult): boolean {
  const strategy = runStrategyOf(vm.definition.spec);
  if (outcome !== 'changed' || !isOff(vm) || strategy === 'Always') return false;
  return startsAtOnce(strategy) && changes.some(({ field }) => STRATEGY_FIELDS.includes(field));
}

function assertNotHalted({ uid, name, spec }: VmDefinition): void {
  if (runStrategyOf(spec) !== 'Halted') return;
  throw new AgentError(
    'RUN_STRATEGY_HALTED',
    `Cannot start VM ${name}: its ${spec.running === false ? 'spec.running is false' : 'spec.runStrategy is Halted'}; apply its manifest with another run strategy, such as Manual`,
    { metadata: { vmId: uid } },
  );
}

function assertOff({ definition, phase }: Vm): void {
  if (isOff({ phase })) return;
  throw new AgentError(
    'VM_RUNNING',
    `Cannot delete VM ${definition.name}: it is ${phase}; shut it down first, or force its deletion`,
    { metadata: { vmId: definition.uid } },
  );
}

function isMeant(vm: Vm, ref: VmRef): boolean {
  return ref.uid === undefined || ref.uid === vm.definition.uid;
}

function assertUid(vm: Vm, ref: VmRef): void {
  if (isMeant(vm, ref)) return;
  throw new AgentError(
    'VM_UID_MISMATCH',
    `VM ${ref.name} is another one than was meant: it has uid ${vm.definition.uid}, not ${ref.uid}`,
    { metadata: { vmId: vm.definition.uid } },
  );
}
