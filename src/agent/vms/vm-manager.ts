import { AgentError, isHypervisorAway } from '../../core/errors.ts';
import { EventLoopTurns } from '../../core/event-loop-turns.ts';
import { EVERYTHING } from '../../core/label-selector.ts';
import { runStrategyOf, startsAtOnce } from '../../core/resources/run-strategy.ts';
import type { ConsoleReader } from '../../drivers/console.ts';
import { hasStartHooks } from '../hooks/vm-hooks.ts';
import { pageOf } from '../reports/paging.ts';
import type { Origins, Page, PageRequest, WatchCursor } from '../reports/report.ts';
import type { RunBook } from '../runs/run-book.ts';
import { nameIn, nameOfRef, naming } from './deed-words.ts';
import type { DiskSizes } from './disk-sizes.ts';
import { findVm } from './find-vm.ts';
import { isMeant } from './meant-vm.ts';
import { compareKeys, nameKey } from './name-key.ts';
import type {
  AdoptRequest,
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
import type { VmAdopter } from './vm-adopter.ts';
import type { VmApplier } from './vm-applier.ts';
import type { VmCreator } from './vm-creator.ts';
import type { VmDeleter } from './vm-deleter.ts';
import { isOff } from './vm-phase.ts';
import { VmPower, type VmPowerOptions } from './vm-power.ts';

export interface VmManagerOptions extends VmPowerOptions {
  readonly creator: VmCreator;
  readonly applier: VmApplier;
  readonly adopter: Pick<VmAdopter, 'adopt'>;
  readonly deleter: VmDeleter;
  readonly runs: Pick<RunBook, 'rebootsOf'>;
  readonly console: ConsoleReader;
  readonly diskSizes: Pick<DiskSizes, 'measure'>;
  readonly origins: Origins;
}

const STRATEGY_FIELDS: readonly string[] = ['spec.runStrategy', 'spec.running'];

/** Carries out what callers want of the VMs of this node. */
export class VmManager implements VmService {
  readonly #options: VmManagerOptions;
  readonly #power: VmPower;
  readonly #turns = new EventLoopTurns();

  constructor(options: VmManagerOptions) {
    this.#options = options;
    this.#power = new VmPower(options);
  }

  create(manifest: unknown, options: CreateOptions, signal: AbortSignal): Promise<CreateResult> {
    const making = this.#options.creator.create(manifest, options, signal);
    return naming(`create ${nameIn(manifest)}`, making);
  }

  async apply(manifest: unknown, options: ApplyOptions, signal: AbortSignal): Promise<ApplyResult> {
    const applying = this.#options.applier.apply(manifest, options, signal);
    const result = await naming(`apply ${nameIn(manifest)}`, applying);
    if (options.dryRun || !isGivenStart(result)) return result;
    // Its operation starts it, as what is to run before that takes its time.
    if (hasStartHooks(result.vm.definition)) return result;
    const { namespace, name, uid } = result.vm.definition;
    try {
      return { ...result, vm: await this.start({ namespace, name, uid }, signal) };
    } catch (error) {
      // The change is made all the same, and applying it again would find nothing to do.
      if (!(error instanceof AgentError)) throw error;
      return { ...result, warnings: [...result.warnings, changedOnly(name, error)] };
    }
  }

  /** Says what would come of it. Changes nothing. */
  planAdoption(request: AdoptRequest, signal: AbortSignal): Promise<CreateResult> {
    const planning = this.#options.adopter.adopt(request, { dryRun: true }, signal);
    return naming(`adopt ${JSON.stringify(request.domain)}`, planning);
  }

  measure(vm: Vm, signal: AbortSignal): Promise<Vm> {
    return this.#options.diskSizes.measure(vm, signal);
  }

  async get(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    const { inventory } = this.#options;
    // libvirt tells nobody of a snapshot that virsh takes, and whoever looks at one VM wants it as it is.
    const before = inventory.findByName(ref.namespace, ref.name);
    const looking =
      before === undefined
        ? inventory.refresh(signal)
        : inventory.refreshWith(before.definition.uid, signal);
    await this.#ifReachable(looking);
    if (inventory.listedOnce) return inventory.findComing(ref) ?? findVm(ref, this.#options);
    const { namespace } = ref;
    const known = inventory.listKnown({ namespace, labels: EVERYTHING });
    return (
      known.find((vm) => vm.definition.name === ref.name && isMeant(vm, ref)) ??
      findVm(ref, this.#options)
    );
  }

  async list(filter: VmFilter, page: PageRequest, signal: AbortSignal): Promise<Page<Vm>> {
    await this.#ifReachable(this.#options.inventory.refreshIfStale(signal));
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

  /** See `VmPower`, as the verbs below. */
  assertCan(...asked: Parameters<VmPower['assertCan']>): Promise<Vm> {
    return this.#power.assertCan(...asked);
  }

  start(...asked: Parameters<VmPower['start']>): Promise<Vm> {
    return this.#power.start(...asked);
  }

  shutdown(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#power.shutdown(ref, signal);
  }

  destroy(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#power.destroy(ref, signal);
  }

  suspend(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#power.suspend(ref, signal);
  }

  resume(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#power.resume(ref, signal);
  }

  reset(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#power.reset(ref, signal);
  }

  reboot(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#power.reboot(ref, signal);
  }

  stopToRestart(...asked: Parameters<VmPower['stopToRestart']>): Promise<Vm> {
    return this.#power.stopToRestart(...asked);
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

  /** See `RunBook.rebootsOf`. */
  rebootsOf(vmUid: string): number {
    return this.#options.runs.rebootsOf(vmUid);
  }

  /** What stays of a VM that is deleted without its disks, for people; undefined if that is nothing. Costs nothing. */
  findKeptDisks(ref: VmRef): string | undefined {
    return this.#options.deleter.findKeptDisks(ref);
  }

  removeUnusedDisks(vmUid: string, signal: AbortSignal): Promise<void> {
    return this.#options.deleter.removeUnusedDisks(vmUid, signal);
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
    await this.#ifReachable(this.#options.inventory.refresh(signal));
    const vm = findVm(ref, this.#options);
    const finding = this.#options.domains.find(vm.definition.uid, signal);
    const found = await naming(`read the console log of ${nameOfRef(ref)}`, finding);
    if (found === undefined) return;
    if (found.consoleLogPath === undefined) throw noConsoleLog(vm.definition);
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

  /** While the hypervisor is away, readers get what was known, marked as unknown. */
  async #ifReachable(looking: Promise<void>): Promise<void> {
    try {
      await looking;
    } catch (error) {
      if (!isHypervisorAway(error) || !this.#options.inventory.isKnown) throw error;
    }
    // All who wait for one listing are answered after it, and others must not wait for all of them.
    await this.#turns.next();
  }
}

/** Those that an agent has made all have one. */
function noConsoleLog({ namespace, name, uid }: Vm['definition']): AgentError {
  return new AgentError(
    'CONSOLE_NOT_FOUND',
    `Cannot read the console log of VM ${namespace}/${name}: its serial console, if it has one, is not logged to a file; novactl vm console shows what it writes from now on`,
    { metadata: { vmId: uid } },
  );
}

/** What is said of a VM that was changed and shall be on, and could not be started. */
export function changedOnly(name: string, { message }: AgentError): string {
  return `VM ${name} was changed but not started: ${message}; start it when that is mended`;
}

/** Whether a VM has been given a strategy that starts it once; those that are Always are seen to by themselves. */
export function isGivenStart({ outcome, changes, vm }: ApplyResult): boolean {
  const strategy = runStrategyOf(vm.definition.spec);
  if (outcome !== 'changed' || !isOff(vm) || strategy === 'Always') return false;
  return startsAtOnce(strategy) && changes.some(({ field }) => STRATEGY_FIELDS.includes(field));
}
