import { isDeepStrictEqual } from 'node:util';
import { delay } from '../../core/delay.ts';
import { AgentError, hasReason } from '../../core/errors.ts';
import { matchesLabels } from '../../core/label-selector.ts';
import type { Logger } from '../../core/logger.ts';
import { Notifier } from '../../core/notifier.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { HypervisorDomains, HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { HypervisorEvents } from '../../drivers/hypervisor-events.ts';
import type { HypervisorStatistics, VmStatistics } from '../../drivers/hypervisor-statistics.ts';
import type { SeenVm } from '../reconcile/controller.ts';
import type { WatchCursor, WatchEvent } from '../reports/report.ts';
import { WatchedSet } from '../reports/watched-set.ts';
import { nameKey } from './name-key.ts';
import { type UnreadVm, UnreadVms } from './unread-vms.ts';
import type { Vm, VmFilter, VmRef } from './vm.ts';
import { VmDescriber, type VmDescriberOptions } from './vm-describer.ts';
import { isOn } from './vm-phase.ts';

export interface VmInventoryOptions extends VmDescriberOptions {
  readonly domains: Pick<HypervisorDomains, 'list' | 'effectOf'>;
  readonly statistics: HypervisorStatistics;
  readonly events: HypervisorEvents;
  /** VMs whose migration goes on, and it is not known yet whether they have left. */
  readonly isLeaving: (vmUid: string) => boolean;
  /** Finds out what must be known to tell these. */
  readonly learnHost: (signal: AbortSignal) => Promise<void>;
  /** How often the hypervisor is listed when it says nothing: lost events are made good after this time. */
  readonly resyncIntervalMs?: number | undefined;
  /** How long nothing is told because VMs cannot be read. Default 10 s. */
  readonly unreadPatienceMs?: number | undefined;
  readonly log: Logger;
}

const RESYNC_INTERVAL_MS = 5_000;
/** Events come in bursts; one listing answers those that came within this time. */
const SETTLE_MS = 20;
const LIST_TIMEOUT_MS = 15_000;

/** The VMs of this node as last listed. Events only say when to look; the listing decides. */
export class VmInventory {
  readonly #options: VmInventoryOptions;
  readonly #vms: WatchedSet<Vm>;
  readonly #unread: UnreadVms;
  readonly #describer: VmDescriber;
  /** What was listed last, ours or not. */
  #seen: readonly SeenVm[] = [];
  readonly #listings = new Notifier();
  readonly #reasonsToLook = new Notifier();
  readonly #stopListeners: ((vmUid: string) => void)[] = [];
  readonly #firstListing = Promise.withResolvers<void>();
  #listedOnce = false;
  #current: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(options: VmInventoryOptions) {
    this.#options = options;
    this.#vms = new WatchedSet(options.origins);
    this.#describer = new VmDescriber(options);
    this.#unread = new UnreadVms({ patienceMs: options.unreadPatienceMs, log: options.log });
  }

  /**
   * False until the hypervisor was listed, and the VMs were read or waited for in vain: before that nothing is known and
   * nothing may be reported.
   */
  get listedOnce(): boolean {
    return this.#listedOnce;
  }

  /** Returns once `listedOnce` is true. */
  async untilListed(signal: AbortSignal): Promise<void> {
    await untilAborted(this.#firstListing.promise, signal);
  }

  /** All VMs as last listed, sorted by namespace and name. Costs nothing. Fails with STATE_NOT_READY before the first listing. */
  list(filter: VmFilter): readonly Vm[] {
    this.assertListed();
    return [...this.#vms.values()]
      .filter((vm) => matches(vm, filter))
      .toSorted((left, right) => compareKeys(nameKey(left.definition), nameKey(right.definition)));
  }

  /** VMs that are here and were never read, ours or not. Costs nothing. */
  listUnread(): readonly UnreadVm[] {
    return this.#unread.list();
  }

  /** Fails with STATE_NOT_READY until `listedOnce` is true. */
  assertListed(): void {
    if (this.#listedOnce) return;
    throw new AgentError(
      'STATE_NOT_READY',
      'Cannot say anything about VMs yet: the hypervisor has not been listed, or not all of its VMs read, since the agent started; check that libvirt runs',
      { retryAfterMs: 1_000 },
    );
  }

  /**
   * Must be called before a VM that is not found is said not to be here. Fails with STATE_NOT_READY before the first
   * listing, and if a VM that could not be read yet may be the one.
   */
  assertAbsent(ref: VmRef): void {
    this.#unread.assertNotAmong(ref);
    this.assertListed();
  }

  findByUid(uid: string): Vm | undefined {
    return this.#vms.get(uid);
  }

  findByName(namespace: string, name: string): Vm | undefined {
    return [...this.#vms.values()].find(
      (vm) => vm.definition.namespace === namespace && vm.definition.name === name,
    );
  }

  /** Has the listener told of each VM that is seen to have stopped, perhaps more than once. */
  onStopped(listener: (vmUid: string) => void): void {
    this.#stopListeners.push(listener);
  }

  /** Keeps the inventory fresh until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const events = this.#followEvents(signal);
    while (!signal.aborted) {
      const seen = this.#reasonsToLook.version;
      await this.#refreshQuietly(signal);
      await this.#awaitReasonToLook(seen, signal);
    }
    await events;
  }

  /** Has the hypervisor listed soon. */
  requestRefresh(): void {
    this.#reasonsToLook.notify();
  }

  /**
   * Lists the hypervisor anew; what was true before the call is in the inventory when it returns. While the
   * hypervisor cannot be asked, all VMs become `unknown` and this fails as a listing does.
   */
  async refresh(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    // A listing that runs already may have begun before the caller's change, so the caller gets the next one.
    this.#next ??= this.#current.then(
      () => this.#startListing(),
      () => this.#startListing(),
    );
    await untilAborted(this.#next, signal);
  }

  /** Fails with STATE_NOT_READY before the first listing. */
  async *watch(
    filter: VmFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Vm>, void, undefined> {
    this.assertListed();
    yield* this.#vms.watch((vm) => matches(vm, filter), cursor, signal);
  }

  /**
   * What is there, ours or not, after each listing, with the uids of those that have gone since the last one; the newest if
   * several have passed.
   */
  async *looks(signal: AbortSignal): AsyncGenerator<readonly SeenVm[], void, undefined> {
    await this.untilListed(signal);
    let before: readonly SeenVm[] = [];
    for (;;) {
      const { version } = this.#listings;
      const now = this.#seen;
      const uids = new Set(now.map(({ uid }) => uid));
      const gone = before.filter(({ uid }) => !uids.has(uid));
      yield [...now, ...gone.map(({ uid }) => ({ uid, domain: undefined, vm: undefined }))];
      before = now;
      await this.#listings.changed(version, signal);
    }
  }

  async #followEvents(signal: AbortSignal): Promise<void> {
    try {
      for await (const event of this.#options.events.watch(signal)) {
        if (event.kind === 'disconnected') this.#markUnknown();
        // It may run again by the time it is listed.
        if (event.kind === 'lifecycle' && event.event === 'stopped') this.#noteStopped(event.uid);
        if (event.kind !== 'migration-iteration') this.requestRefresh();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #awaitReasonToLook(seen: number, signal: AbortSignal): Promise<void> {
    const timeout = AbortSignal.timeout(this.#options.resyncIntervalMs ?? RESYNC_INTERVAL_MS);
    try {
      await this.#reasonsToLook.changed(seen, AbortSignal.any([signal, timeout]));
      await delay(SETTLE_MS, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!timeout.aborted) throw error;
    }
  }

  async #refreshQuietly(signal: AbortSignal): Promise<void> {
    try {
      await this.refresh(signal);
    } catch (error) {
      // The driver says once that it lost the hypervisor; saying it again every few seconds helps nobody.
      if (!signal.aborted) this.#options.log.debug({ err: error }, 'Listing failed');
    }
  }

  #noteStopped(vmUid: string): void {
    for (const listener of this.#stopListeners) listener(vmUid);
  }

  #startListing(): Promise<void> {
    const listing = this.#load();
    this.#current = listing;
    this.#next = undefined;
    return listing;
  }

  async #load(): Promise<void> {
    const { domains, statistics, learnHost } = this.#options;
    const signal = AbortSignal.timeout(LIST_TIMEOUT_MS);
    let listed: readonly HypervisorVm[];
    let usage: ReadonlyMap<string, VmStatistics>;
    try {
      [listed, usage] = await Promise.all([
        domains.list(signal),
        statistics.sample(signal),
        learnHost(signal),
      ]);
    } catch (error) {
      this.#markUnknown();
      if (!(error instanceof DOMException)) throw error;
      throw new AgentError(
        'HYPERVISOR_TIMEOUT',
        'Cannot list VMs: the hypervisor does not answer',
        { cause: error, retryAfterMs: 1_000 },
      );
    }
    const seen = new Set<string>();
    const unread: UnreadVm[] = [];
    for (const found of listed) {
      const { uid, hypervisorName, definition } = found;
      // One that is still arriving belongs to its source.
      if (found.state === 'incoming') continue;
      if (!found.isRead) {
        const known = this.#vms.get(uid);
        if (known === undefined) {
          const memoryBytes = isOn(found) ? usage.get(uid)?.memoryActualBytes : 0;
          unread.push({ uid, hypervisorName, memoryBytes });
        } else {
          seen.add(uid);
          this.#report(uid, this.#describer.describeUnknown(known, 'not-read'));
        }
        continue;
      }
      // Others' VMs are not ours to report.
      if (definition === undefined) continue;
      if (found.state === 'stopped') this.#noteStopped(uid);
      seen.add(uid);
      const previous = this.#vms.get(uid);
      this.#report(uid, this.#describer.describe(found, definition, usage.get(uid), previous));
    }
    for (const known of this.#vms.values()) {
      const { uid } = known.definition;
      if (seen.has(uid)) continue;
      // Told as gone once it can be said where to.
      if (this.#options.isLeaving(uid)) {
        this.#report(uid, this.#describer.describeUnknown(known, 'leaving'));
        continue;
      }
      this.#vms.delete(uid);
      this.#describer.forget(uid);
    }
    this.#unread.put(unread);
    if (this.#unread.mayBeLeftOut()) {
      this.#listedOnce = true;
      this.#firstListing.resolve();
    }
    this.#seen = listed.map((domain) => {
      const { uid } = domain;
      return { uid, domain, vm: seen.has(uid) ? this.#vms.get(uid) : undefined };
    });
    this.#listings.notify();
  }

  #markUnknown(): void {
    for (const vm of this.#vms.values()) {
      this.#report(vm.definition.uid, this.#describer.describeUnknown(vm, 'unreachable'));
    }
  }

  /** Watchers are told of everything but figures. */
  #report(uid: string, vm: Vm): void {
    const before = this.#vms.get(uid);
    if (before !== undefined && sameButFigures(before, vm)) this.#vms.replaceQuietly(uid, vm);
    else this.#vms.put(uid, vm);
  }
}

/** True if a refresh failed because the hypervisor cannot be asked, so that what is cached may still be told. */
export function isHypervisorAway(error: unknown): boolean {
  return hasReason(error, 'HYPERVISOR_UNREACHABLE', 'HYPERVISOR_TIMEOUT');
}

function matches(vm: Vm, filter: VmFilter): boolean {
  const { namespace, labels } = vm.definition;
  if (filter.namespace !== '' && namespace !== filter.namespace) return false;
  return matchesLabels(filter.labels, labels);
}

/** The order of name keys in a list: by code unit, as a slash sorts before everything that a name may hold but a hyphen. */
export function compareKeys(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function sameButFigures(left: Vm, right: Vm): boolean {
  return isDeepStrictEqual(withoutFigures(left), withoutFigures(right));
}

function withoutFigures(vm: Vm): unknown {
  const migration = vm.migration && { ...vm.migration, fractionDone: 0 };
  return { ...vm, statistics: 0, migration };
}
