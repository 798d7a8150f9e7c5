import { delay } from '../../core/delay.ts';
import { AgentError } from '../../core/errors.ts';
import { matchesLabels } from '../../core/label-selector.ts';
import { Notifier } from '../../core/notifier.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { HypervisorDomains } from '../../drivers/hypervisor-domains.ts';
import type { HypervisorEvent, HypervisorEvents } from '../../drivers/hypervisor-events.ts';
import type { HypervisorStatistics } from '../../drivers/hypervisor-statistics.ts';
import type { Look, SeenVm } from '../reconcile/controller.ts';
import type { WatchCursor, WatchEvent } from '../reports/report.ts';
import type { ForeignVm } from './foreign-vms.ts';
import {
  byName,
  ListedVms,
  type ListedVmsOptions,
  type VmListing,
  type VmsObstacle,
} from './listed-vms.ts';
import { isMeant } from './meant-vm.ts';
import { nameKey } from './name-key.ts';
import type { UnreadVm, UnreadVms } from './unread-vms.ts';
import type { Vm, VmFilter, VmRef } from './vm.ts';

export interface VmInventoryOptions extends ListedVmsOptions {
  readonly domains: Pick<HypervisorDomains, 'list' | 'told' | 'expire' | 'effectOf'>;
  readonly statistics: HypervisorStatistics;
  readonly events: HypervisorEvents;
  /** Finds out what must be known to tell whose VMs are. */
  readonly learnHost: (signal: AbortSignal) => Promise<void>;
  /** How often the hypervisor is listed when it says nothing: lost events are made good after this time. */
  readonly resyncIntervalMs?: number | undefined;
}

const RESYNC_INTERVAL_MS = 10_000;
/** Who only lists VMs is not told of an older listing than this; whoever lists them all the time does not list the hypervisor so often. */
const FRESH_MS = 1_000;
/** Events come in bursts; one listing answers those that came within this time. */
const SETTLE_MS = 20;
const LIST_TIMEOUT_MS = 15_000;
/** To read a VM anew costs a hundred times what it costs to list it: more who ask at once have the next listings wait for it. */
const ANEW_IN_ONE_LISTING = 4;

/** The VMs of this node as last listed. Events only say when to look; the listing decides. */
export class VmInventory {
  readonly #options: VmInventoryOptions;
  readonly #listed: ListedVms;
  /** What was listed last, ours or not. */
  #seen: readonly SeenVm[] = [];
  #isAway = false;
  /** When the last listing began, and what had been told by then. */
  #seenFrom = { atMs: Number.NEGATIVE_INFINITY, version: 0, told: 0 };
  #hearsEvents = false;
  #returns = 0;
  readonly #listings = new Notifier();
  readonly #reasonsToLook = new Notifier();
  readonly #firstListing = Promise.withResolvers<void>();
  #current: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  /** VMs that listings to come shall read anew. */
  readonly #anew = new Set<string>();

  constructor(options: VmInventoryOptions) {
    this.#options = options;
    this.#listed = new ListedVms(options);
  }

  /**
   * False until the hypervisor was listed, and the VMs were read or waited for in vain: before that nothing is known and
   * nothing may be reported.
   */
  get listedOnce(): boolean {
    return this.#listed.findObstacle() === undefined;
  }

  /** Returns once `listedOnce` is true. */
  async untilListed(signal: AbortSignal): Promise<void> {
    await untilAborted(this.#firstListing.promise, signal);
  }

  /** All VMs as last listed, sorted by namespace and name. Costs nothing. Fails with STATE_NOT_READY before the first listing. */
  list(filter: VmFilter): readonly Vm[] {
    this.assertListed();
    return select(this.#listed.sorted(), filter);
  }

  /** Whether something can be told of VMs, be it only which there are. */
  get isKnown(): boolean {
    return this.listedOnce || this.#listed.recorded() !== undefined;
  }

  /** As `list`, with those that are being made; while the hypervisor has not been listed yet those that are recorded, unknown. */
  listKnown(filter: VmFilter): readonly Vm[] {
    const recorded = this.#isAway ? this.#listed.recorded() : undefined;
    if (recorded !== undefined) return select(recorded.toSorted(byName), filter);
    this.assertListed();
    const coming = this.#listed.coming();
    if (coming.length === 0) return this.list(filter);
    return select([...this.#listed.sorted(), ...coming].toSorted(byName), filter);
  }

  /** One that is being made and is not there yet: it can be told of, and nothing be done to it. */
  findComing(ref: VmRef): Vm | undefined {
    if (this.findByName(ref.namespace, ref.name) !== undefined) return undefined;
    return this.#listed
      .coming()
      .find((vm) => nameKey(vm.definition) === nameKey(ref) && isMeant(vm, ref));
  }

  /** A creation has begun or ended, which no listing tells. */
  reviewCreations(): void {
    this.#listed.reviewCreations();
  }

  /** VMs of this node that no agent has made and that are on, as last listed. */
  listForeign(): readonly ForeignVm[] {
    return this.#listed.foreign;
  }

  /** VMs that are here and were not read since the agent started, ours or not. */
  get unread(): Pick<UnreadVms, 'list' | 'listUnidentified'> {
    return this.#listed.unread;
  }

  /** Has VMs told of although it is not known whose some are, and returns those; see `UnreadVms.accept`. */
  async acceptUnidentified(acceptedBy: string): Promise<readonly UnreadVm[]> {
    const accepted = await this.#listed.unread.accept(acceptedBy);
    this.requestRefresh();
    return accepted;
  }

  /** Why nothing can be told of VMs; undefined if it can. */
  findObstacle(): VmsObstacle | undefined {
    return this.#listed.findObstacle();
  }

  /** Fails with STATE_NOT_READY until `listedOnce` is true. */
  assertListed(): void {
    const obstacle = this.findObstacle();
    if (obstacle === undefined) return;
    throw new AgentError('STATE_NOT_READY', obstacle.message, { retryAfterMs: 1_000 });
  }

  /**
   * Must be called before a VM that is not found is said not to be here. Fails with STATE_NOT_READY before the first
   * listing, and if a VM that could not be read yet may be the one.
   */
  assertAbsent(ref: VmRef): void {
    this.#listed.unread.assertNotAmong(ref);
    this.assertListed();
  }

  findByUid(uid: string): Vm | undefined {
    return this.#listed.get(uid);
  }

  findByName(namespace: string, name: string): Vm | undefined {
    return [...this.#listed.values()].find(
      (vm) => vm.definition.namespace === namespace && vm.definition.name === name,
    );
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

  /**
   * For whoever only looks at all VMs: lists the hypervisor if it has told of anything since the last listing, or that is older
   * than a second.
   */
  async refreshIfStale(signal: AbortSignal): Promise<void> {
    if (!this.#hearsEvents || this.#isAway || !this.#isFresh()) await this.refresh(signal);
  }

  /**
   * The same as `refresh` for somebody who looks at one VM: it is read anew, as of some changes libvirt tells nobody. Where many are looked at
   * at once, a listing soon afterwards does so.
   */
  async refreshWith(uid: string, signal: AbortSignal): Promise<void> {
    this.#anew.add(uid);
    await this.refresh(signal);
  }

  /** Fails with STATE_NOT_READY before the first listing. */
  async *watch(
    filter: VmFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Vm>, void, undefined> {
    this.assertListed();
    yield* this.#listed.watch((vm) => matches(vm, filter), cursor, signal);
  }

  /**
   * What is there, ours or not, after each listing, with the uids of those that have gone since the last one; the newest if
   * several have passed.
   */
  async *looks(signal: AbortSignal): AsyncGenerator<Look, void, undefined> {
    await this.untilListed(signal);
    let before: readonly SeenVm[] = [];
    for (;;) {
      const { version } = this.#listings;
      const now = this.#seen;
      const uids = new Set(now.map(({ uid }) => uid));
      const gone = before.filter(({ uid }) => !uids.has(uid));
      const vms = [...now, ...gone.map(({ uid }) => ({ uid, domain: undefined, vm: undefined }))];
      yield { vms, returns: this.#returns };
      before = now;
      await this.#listings.changed(version, signal);
    }
  }

  #isFresh(): boolean {
    const { atMs, version, told } = this.#seenFrom;
    return (
      performance.now() - atMs < FRESH_MS &&
      version === this.#reasonsToLook.version &&
      told === this.#options.domains.told
    );
  }

  async #followEvents(signal: AbortSignal): Promise<void> {
    this.#hearsEvents = true;
    try {
      for await (const event of this.#options.events.watch(signal)) {
        if (event.kind === 'disconnected') this.#noteAway();
        if (event.kind === 'lifecycle') this.#note(event);
        if (event.kind === 'watchdog') this.#options.runs.noteWatchdog(event.uid, event.action);
        if (event.kind !== 'migration-iteration') this.requestRefresh();
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      this.#hearsEvents = false;
    }
  }

  /** What no listing tells. */
  #note({ uid, event, byHost }: Extract<HypervisorEvent, { kind: 'lifecycle' }>): void {
    const { runs } = this.#options;
    if (byHost) runs.noteTerminated(uid);
    if (event === 'rebooted') runs.noteRebooted(uid);
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

  #startListing(): Promise<void> {
    for (const uid of this.#anew.values().take(ANEW_IN_ONE_LISTING)) {
      this.#anew.delete(uid);
      this.#options.domains.expire(uid);
    }
    const listing = this.#load();
    this.#current = listing;
    this.#next = undefined;
    return listing;
  }

  async #load(): Promise<void> {
    const { version } = this.#reasonsToLook;
    const seenFrom = { atMs: performance.now(), version, told: this.#options.domains.told };
    let listing: VmListing;
    try {
      listing = await this.#readListing();
    } catch (error) {
      this.#noteAway();
      throw error;
    }
    if (this.#isAway) this.#returns += 1;
    this.#isAway = false;
    this.#seenFrom = seenFrom;
    this.#seen = this.#listed.put(listing);
    if (this.listedOnce) this.#firstListing.resolve();
    this.#listings.notify();
  }

  #noteAway(): void {
    this.#isAway = true;
    this.#listed.markUnknown();
  }

  async #readListing(): Promise<VmListing> {
    const { domains, statistics, learnHost } = this.#options;
    const signal = AbortSignal.timeout(LIST_TIMEOUT_MS);
    try {
      const [listed, usage] = await Promise.all([
        domains.list(signal),
        statistics.sample(signal),
        learnHost(signal),
      ]);
      return { domains: listed, usage };
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      throw new AgentError(
        'HYPERVISOR_TIMEOUT',
        'Cannot list VMs: the hypervisor does not answer',
        { cause: error, retryAfterMs: 1_000 },
      );
    }
  }
}

function select(vms: readonly Vm[], filter: VmFilter): readonly Vm[] {
  return vms.filter((vm) => matches(vm, filter));
}

function matches(vm: Vm, filter: VmFilter): boolean {
  const { namespace, labels } = vm.definition;
  if (filter.namespace !== '' && namespace !== filter.namespace) return false;
  // Which labels one has that could not be read is not known, and left out it would be taken for absent.
  if (!vm.isRead) return true;
  return matchesLabels(filter.labels, labels);
}
