import { AgentError, isHypervisorAway } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import { EVERYTHING } from '../../core/label-selector.ts';
import type { Logger } from '../../core/logger.ts';
import { runStrategyOf, startsAtOnce } from '../../core/resources/run-strategy.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { ConsoleReader } from '../../drivers/console.ts';
import type { HypervisorDomains } from '../../drivers/hypervisor-domains.ts';
import type { CapacityLedger } from '../node/capacity-ledger.ts';
import { pageOf } from '../reports/paging.ts';
import type { Origins, Page, PageRequest, WatchCursor } from '../reports/report.ts';
import type { RunBook } from '../runs/run-book.ts';
import type { ShutdownMark } from '../shutdown/shutdown-mark.ts';
import { lockVm } from './busy.ts';
import { nameIn, nameOfRef, naming } from './deed-words.ts';
import type { DefinitionValidator } from './definition-validator.ts';
import { assertMeant, isMeant } from './meant-vm.ts';
import { nameKey } from './name-key.ts';
import type { Ownership } from './ownership.ts';
import { assertWhole, intend } from './power-steps.ts';
import type { Startability } from './startability.ts';
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
import type { VmDeleter } from './vm-deleter.ts';
import { compareKeys, type VmInventory } from './vm-inventory.ts';
import { assertNotHeld, assertNotPaused, assertOn } from './vm-pauses.ts';
import { isOff } from './vm-phase.ts';
import type { Whereabouts } from './whereabouts.ts';

export interface VmManagerOptions {
  readonly domains: HypervisorDomains;
  readonly inventory: VmInventory;
  readonly creator: VmCreator;
  readonly applier: VmApplier;
  readonly deleter: VmDeleter;
  readonly capacity: CapacityLedger;
  readonly ownership: Ownership;
  readonly whereabouts: Whereabouts;
  readonly runs: Pick<RunBook, 'rebootsOf'>;
  readonly console: ConsoleReader;
  readonly origins: Origins;
  /** One operation per VM, shared with migrations; the key is the VM's uid. */
  readonly locks: KeyLocks;
  readonly nodeShutdown: Pick<ShutdownMark, 'assertNotGoingDown'>;
  readonly validator: Pick<DefinitionValidator, 'assertStartable'>;
  readonly startability: Pick<Startability, 'noting'>;
  readonly log: Logger;
}

/** What is asked of a VM's power, in words. */
const WORDS = {
  start: 'start',
  shutdown: 'shut down',
  destroy: 'cut the power of',
  suspend: 'suspend',
  resume: 'resume',
  reset: 'reset',
  reboot: 'reboot',
  restart: 'restart',
} as const;

type PowerVerb = keyof typeof WORDS;

/** What a VM cannot do that is paused. */
const OF_THE_AWAKE: readonly PowerVerb[] = ['start', 'shutdown', 'reboot', 'restart'];
/** What a VM cannot do that is off. */
const OF_THOSE_ON: readonly PowerVerb[] = ['suspend', 'resume', 'reset', 'reboot'];
const STRATEGY_FIELDS: readonly string[] = ['spec.runStrategy', 'spec.running'];

/** Carries out what callers want of the VMs of this node. */
export class VmManager implements VmService {
  readonly #options: VmManagerOptions;

  constructor(options: VmManagerOptions) {
    this.#options = options;
  }

  create(manifest: unknown, options: CreateOptions, signal: AbortSignal): Promise<CreateResult> {
    const making = this.#options.creator.create(manifest, options, signal);
    return naming(`create ${nameIn(manifest)}`, making);
  }

  async apply(manifest: unknown, options: ApplyOptions, signal: AbortSignal): Promise<ApplyResult> {
    const applying = this.#options.applier.apply(manifest, options, signal);
    const result = await naming(`apply ${nameIn(manifest)}`, applying);
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
    const { inventory } = this.#options;
    if (inventory.listedOnce) return this.#find(ref);
    const { namespace } = ref;
    const known = inventory.listKnown({ namespace, labels: EVERYTHING });
    return (
      known.find((vm) => vm.definition.name === ref.name && isMeant(vm, ref)) ?? this.#find(ref)
    );
  }

  async list(filter: VmFilter, page: PageRequest, signal: AbortSignal): Promise<Page<Vm>> {
    await this.#refreshIfReachable(signal);
    const origin = this.#options.origins.current();
    return pageOf(this.#options.inventory.listKnown(filter), page, {
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
  assertCan(
    verb: PowerVerb,
    ref: VmRef,
    signal: AbortSignal,
    options: { readonly isForced?: boolean } = {},
  ): Promise<Vm> {
    const asserting = this.#assertCan(verb, ref, signal, options);
    return naming(`${WORDS[verb]} ${nameOfRef(ref)}`, asserting);
  }

  async #assertCan(
    verb: PowerVerb,
    ref: VmRef,
    signal: AbortSignal,
    { isForced = false }: { readonly isForced?: boolean },
  ): Promise<Vm> {
    const { domains, inventory, capacity, validator, startability } = this.#options;
    await inventory.refresh(signal);
    const vm = this.#find(ref);
    assertRead(vm);
    const { definition } = vm;
    if (verb === 'start' || verb === 'restart') {
      this.#assertMayStart(definition);
      if (isOff(vm)) {
        const looking = validator.assertStartable(definition, vm.drift, signal);
        await startability.noting(definition.uid, looking);
        capacity.setAside(definition, { reservationId: undefined, isOn: true })[Symbol.dispose]();
      }
    }
    if (verb === 'destroy' || (verb === 'restart' && isForced)) {
      await assertWhole(domains, definition, signal);
    }
    if (OF_THE_AWAKE.includes(verb) && !isForced) assertNotPaused(vm, verb);
    if (OF_THOSE_ON.includes(verb)) this.#assertMayPause(vm, verb);
    return vm;
  }

  /** Says which VM is meant, or what it means to delete it if it is not here. Fails as `assertCan` does. */
  assertCanDelete(
    ref: VmRef,
    options: DeleteOptions,
    signal: AbortSignal,
  ): Promise<Vm | Exclude<DeleteOutcome, 'deleted'>> {
    const asking = this.#options.deleter.assertCan(ref, options, signal);
    return naming(`delete ${nameOfRef(ref)}`, asking);
  }

  /** See `Whereabouts.findGone`. */
  findGone(ref: VmRef): string | undefined {
    return this.#options.whereabouts.findGone(ref);
  }

  start(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'start', signal, async (vm) => {
      const { domains, inventory, capacity, validator } = this.#options;
      const { definition } = vm;
      this.#assertMayStart(definition);
      const { startability } = this.#options;
      assertNotPaused(vm, 'start');
      if (isOff(vm)) {
        const looking = validator.assertStartable(definition, vm.drift, signal);
        await startability.noting(definition.uid, looking);
      }
      using _amount = isOff(vm)
        ? capacity.setAside(definition, { reservationId: undefined, isOn: true })
        : undefined;
      await intend(domains, definition, 'on', signal);
      await startability.noting(definition.uid, domains.start(definition.uid, signal));
      // The memory stays set aside until the inventory knows that the VM runs.
      await inventory.refresh(signal);
    });
  }

  /** Asks the guest to power off, and does not wait for it. */
  shutdown(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'shutdown', signal, async (vm) => {
      const { domains } = this.#options;
      assertNotPaused(vm, 'shutdown');
      await intend(domains, vm.definition, 'off', signal);
      if (!isOff(vm)) await domains.shutdown(vm.definition.uid, signal);
    });
  }

  destroy(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'destroy', signal, async ({ definition }) => {
      const { domains } = this.#options;
      await assertWhole(domains, definition, signal);
      await intend(domains, definition, 'off', signal);
      await domains.destroy(definition.uid, signal);
    });
  }

  /** Has a VM go off that is started again then, which is what it keeps as wanted: asks its guest, or cuts its power. */
  stopToRestart(ref: VmRef, how: 'ask' | 'cut', signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'restart', signal, async (vm) => {
      const { domains } = this.#options;
      const { definition } = vm;
      if (how === 'ask') assertNotPaused(vm, 'restart');
      else await assertWhole(domains, definition, signal);
      await intend(domains, definition, 'on', signal);
      if (how === 'cut') await domains.destroy(definition.uid, signal);
      else if (!isOff(vm)) await domains.shutdown(definition.uid, signal);
    });
  }

  suspend(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'suspend', signal, async (vm) => {
      this.#assertMayPause(vm, 'suspend');
      if (vm.phase !== 'paused') await this.#options.domains.suspend(vm.definition.uid, signal);
    });
  }

  /** Lets a VM go on that is paused. What is wanted of its power stays. */
  resume(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'resume', signal, async (vm) => {
      this.#assertMayPause(vm, 'resume');
      await this.#options.domains.resume(vm.definition.uid, signal);
    });
  }

  reset(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'reset', signal, async (vm) => {
      const { domains } = this.#options;
      this.#assertMayPause(vm, 'reset');
      await intend(domains, vm.definition, 'on', signal);
      await domains.reset(vm.definition.uid, signal);
    });
  }

  /** Asks the guest to reboot, and does not wait for it. */
  reboot(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'reboot', signal, async (vm) => {
      const { domains } = this.#options;
      assertNotPaused(vm, 'reboot');
      this.#assertMayPause(vm, 'reboot');
      await intend(domains, vm.definition, 'on', signal);
      await domains.reboot(vm.definition.uid, signal);
    });
  }

  /** See `RunBook.rebootsOf`. */
  rebootsOf(vmUid: string): number {
    return this.#options.runs.rebootsOf(vmUid);
  }

  delete(ref: VmRef, options: DeleteOptions, signal: AbortSignal): Promise<DeleteOutcome> {
    const deleting = this.#options.deleter.delete(ref, options, signal);
    return naming(`delete ${nameOfRef(ref)}`, deleting);
  }

  async *readConsole(
    ref: VmRef,
    options: ConsoleOptions,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    await this.#refreshIfReachable(signal);
    const vm = this.#find(ref);
    const finding = this.#options.domains.find(vm.definition.uid, signal);
    const found = await naming(`read the console log of ${nameOfRef(ref)}`, finding);
    if (found?.consoleLogPath === undefined) return;
    const { tailBytes, follow } = options;
    const over = new AbortController();
    const stop = new AbortController();
    const looking = follow
      ? this.#untilOff(vm.definition.uid, AbortSignal.any([signal, stop.signal])).then(
          () => over.abort(),
          () => undefined,
        )
      : undefined;
    try {
      const followUntil = follow ? over.signal : undefined;
      yield* this.#options.console.read(found.consoleLogPath, { tailBytes, followUntil }, signal);
    } finally {
      stop.abort();
      await looking;
    }
  }

  /** Resolves once no QEMU runs a VM here. */
  async #untilOff(uid: string, signal: AbortSignal): Promise<void> {
    const { inventory } = this.#options;
    for await (const _look of inventory.looks(signal)) {
      const vm = inventory.findByUid(uid);
      if (vm === undefined || isOff(vm)) return;
    }
  }

  /** Runs one change of a VM under its lock and reports the VM afterwards. */
  #change(
    ref: VmRef,
    purpose: keyof typeof WORDS,
    signal: AbortSignal,
    change: (vm: Vm) => Promise<void>,
  ): Promise<Vm> {
    const changing = this.#changeLocked(ref, purpose, signal, change);
    return naming(`${WORDS[purpose]} ${nameOfRef(ref)}`, changing);
  }

  async #changeLocked(
    ref: VmRef,
    purpose: string,
    signal: AbortSignal,
    change: (vm: Vm) => Promise<void>,
  ): Promise<Vm> {
    const { inventory, locks } = this.#options;
    await inventory.refresh(signal);
    const vm = this.#find(ref);
    assertRead(vm);
    using _lock = lockVm(locks, vm.definition, purpose);
    await change(vm);
    this.#options.log.info({ vmId: vm.definition.uid, operation: purpose }, 'VM changed');
    await inventory.refresh(signal);
    return this.#find(ref);
  }

  #assertMayStart(definition: VmDefinition): void {
    this.#options.nodeShutdown.assertNotGoingDown(`Cannot start VM ${definition.name}`);
    this.#options.ownership.assertOwned(definition);
    assertNotHalted(definition);
  }

  /** Of what only a VM can do that is on, that is here, and that nothing holds still. */
  #assertMayPause(vm: Vm, purpose: string): void {
    this.#options.ownership.assertOwned(vm.definition);
    assertOn(vm, purpose);
    assertNotHeld(vm, purpose);
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
    assertMeant(vm, ref);
    return vm;
  }

  /** While the hypervisor is away, readers get what was known, marked as unknown. */
  async #refreshIfReachable(signal: AbortSignal): Promise<void> {
    try {
      await this.#options.inventory.refresh(signal);
    } catch (error) {
      if (!isHypervisorAway(error) || !this.#options.inventory.isKnown) throw error;
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
