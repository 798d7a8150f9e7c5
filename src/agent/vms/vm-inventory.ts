import { isDeepStrictEqual } from 'node:util';
import { delay } from '../../core/delay.ts';
import { AgentError, hasReason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { Notifier } from '../../core/notifier.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { Hypervisor } from '../../drivers/hypervisor.ts';
import type { HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { ReportOrigin, WatchCursor, WatchEvent } from '../reports/report.ts';
import { CpuUsage } from './cpu-usage.ts';
import { EventLog } from './event-log.ts';
import type { Vm, VmFilter } from './vm.ts';
import { conditionsOf } from './vm-conditions.ts';
import { phaseOf, type VmContext } from './vm-phase.ts';

/** Counts changes and says where a report comes from. */
export interface Origins {
  current(): ReportOrigin;
  /** Counts one more change and returns its origin. */
  next(): ReportOrigin;
}

export interface VmInventoryOptions {
  readonly hypervisor: Hypervisor;
  readonly origins: Origins;
  readonly contextOf: (vmUid: string) => VmContext;
  /** Copies that another node owns by now. */
  readonly isStale: (vm: HypervisorVm) => boolean;
  /** How often the hypervisor is listed when it says nothing: lost events are made good after this time. */
  readonly resyncIntervalMs?: number;
  /** Told of everything that was listed, ours or not. */
  readonly onListed?: (listed: readonly HypervisorVm[]) => void;
  readonly log: Logger;
}

const RESYNC_INTERVAL_MS = 5_000;
/** Events come in bursts; one listing answers those that came within this time. */
const SETTLE_MS = 20;
const LIST_TIMEOUT_MS = 15_000;

/** The VMs of this node as last listed. Events only say when to look; the listing decides. */
export class VmInventory {
  readonly #options: VmInventoryOptions;
  readonly #changes: EventLog<WatchEvent<Vm>>;
  readonly #cpuUsage = new CpuUsage();
  #vms = new Map<string, Vm>();
  readonly #reasonsToLook = new Notifier();
  readonly #stopListeners: ((vmUid: string) => void)[] = [];
  #listedOnce = false;
  #current: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(options: VmInventoryOptions) {
    this.#options = options;
    this.#changes = new EventLog(options.origins.current().agentEpoch);
  }

  /** False until the hypervisor was listed: before that nothing is known and nothing may be reported. */
  get listedOnce(): boolean {
    return this.#listedOnce;
  }

  /** All VMs as last listed, sorted by namespace and name. Costs nothing. Fails with STATE_NOT_READY before the first listing. */
  list(filter: VmFilter): readonly Vm[] {
    if (!this.#listedOnce) {
      throw new AgentError(
        'STATE_NOT_READY',
        'Cannot say anything about VMs yet: the hypervisor has not been listed since the agent started; check that libvirt runs',
        { retryAfterMs: 1_000 },
      );
    }
    return [...this.#vms.values()]
      .filter((vm) => matches(vm, filter))
      .toSorted((left, right) => sortKey(left).localeCompare(sortKey(right)));
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
   * hypervisor cannot be asked, all VMs become `unknown` and this fails as `Hypervisor.list` does.
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

  async *watch(
    filter: VmFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Vm>, void, undefined> {
    const origin = this.#options.origins.current();
    const newest = this.#changes.newestRevision;
    let revision: number;
    if (cursor !== undefined && this.#changes.canContinueFrom(cursor)) {
      revision = cursor.revision;
    } else {
      revision = origin.revision;
      // In the order in which they changed: a watch that breaks in here goes on after the last one it has sent.
      for (const vm of this.list(filter).toSorted(byRevision)) {
        yield { type: 'added', object: vm, origin: { ...origin, revision: vm.origin.revision } };
      }
    }
    const synced = {
      type: 'synced',
      origin: { ...origin, revision: Math.max(revision, newest) },
    } as const;
    let isSynced = revision >= newest;
    if (isSynced) yield synced;
    for await (const event of this.#changes.follow(revision, signal)) {
      if (event.type === 'synced' || matches(event.object, filter)) yield event;
      if (!isSynced && event.origin.revision >= newest) {
        isSynced = true;
        yield synced;
      }
    }
  }

  async #followEvents(signal: AbortSignal): Promise<void> {
    try {
      for await (const event of this.#options.hypervisor.watch(signal)) {
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
    let listed: readonly HypervisorVm[];
    try {
      listed = await this.#options.hypervisor.list(AbortSignal.timeout(LIST_TIMEOUT_MS));
    } catch (error) {
      this.#markUnknown();
      if (error instanceof DOMException) {
        throw new AgentError(
          'HYPERVISOR_TIMEOUT',
          'Cannot list VMs: the hypervisor does not answer',
          {
            cause: error,
            retryAfterMs: 1_000,
          },
        );
      }
      throw error;
    }
    const vms = new Map<string, Vm>();
    for (const found of listed) {
      // Others' VMs are not ours to report, and one that is still arriving belongs to its source.
      if (found.definition === undefined || found.state === 'incoming') continue;
      if (found.state === 'stopped') this.#noteStopped(found.uid);
      vms.set(found.uid, this.#toVm(found, found.definition));
    }
    this.#replace(vms);
    this.#listedOnce = true;
    this.#options.onListed?.(listed);
  }

  #toVm(found: HypervisorVm, definition: NonNullable<HypervisorVm['definition']>): Vm {
    const context = this.#options.contextOf(found.uid);
    const state = this.#options.isStale(found)
      ? {
          phase: 'failed' as const,
          reason: 'StaleCopy',
          message: 'Another node owns this VM; this copy must not run and can be deleted',
        }
      : phaseOf(found, context);
    const previous = this.#vms.get(found.uid);
    return {
      definition,
      ...state,
      conditions: conditionsOf(state, context, previous?.conditions ?? []),
      accelerator: found.accelerator,
      machineType: found.machineType,
      statistics: found.statistics && this.#cpuUsage.measure(found.uid, found.statistics),
      migrationId: context.migrationId,
      origin: previous?.origin ?? this.#options.origins.current(),
    };
  }

  #markUnknown(): void {
    const unknown = new Map<string, Vm>();
    for (const [uid, vm] of this.#vms) {
      const state = {
        phase: 'unknown' as const,
        reason: 'HypervisorUnreachable',
        message: 'The hypervisor cannot be asked; the VM may be running',
      };
      const context = this.#options.contextOf(uid);
      unknown.set(uid, {
        ...vm,
        ...state,
        statistics: undefined,
        conditions: conditionsOf(state, context, vm.conditions),
      });
    }
    this.#replace(unknown);
  }

  #replace(vms: Map<string, Vm>): void {
    for (const [uid, vm] of vms) {
      const before = this.#vms.get(uid);
      if (before !== undefined && sameButStatistics(before, vm)) continue;
      const origin = this.#options.origins.next();
      const changed = { ...vm, origin };
      vms.set(uid, changed);
      this.#changes.append(origin.revision, {
        type: before === undefined ? 'added' : 'modified',
        object: changed,
        origin,
      });
    }
    for (const [uid, vm] of this.#vms) {
      if (vms.has(uid)) continue;
      const origin = this.#options.origins.next();
      this.#changes.append(origin.revision, { type: 'deleted', object: { ...vm, origin }, origin });
      this.#cpuUsage.forget(uid);
    }
    this.#vms = vms;
  }
}

/** True if a refresh failed because the hypervisor cannot be asked, so that what is cached may still be told. */
export function isHypervisorAway(error: unknown): boolean {
  return hasReason(error, 'HYPERVISOR_UNREACHABLE', 'HYPERVISOR_TIMEOUT');
}

function matches(vm: Vm, filter: VmFilter): boolean {
  if (filter.namespace !== '' && vm.definition.namespace !== filter.namespace) return false;
  return Object.entries(filter.labels).every(([key, value]) => vm.definition.labels[key] === value);
}

function byRevision(left: Vm, right: Vm): number {
  return left.origin.revision - right.origin.revision;
}

function sortKey(vm: Vm): string {
  return `${vm.definition.namespace}/${vm.definition.name}`;
}

function sameButStatistics(left: Vm, right: Vm): boolean {
  return isDeepStrictEqual({ ...left, statistics: 0 }, { ...right, statistics: 0 });
}
