import { isDeepStrictEqual } from 'node:util';
import type { Logger } from '../../core/logger.ts';
import { type HypervisorVm, isOn } from '../../drivers/hypervisor-domains.ts';
import type { VmStatistics } from '../../drivers/hypervisor-statistics.ts';
import type { SeenVm } from '../reconcile/controller.ts';
import type { WatchCursor, WatchEvent } from '../reports/report.ts';
import { WatchedSet } from '../reports/watched-set.ts';
import type { RunBook } from '../runs/run-book.ts';
import type { Creations } from './creations.ts';
import { type ForeignVm, foreignOf } from './foreign-vms.ts';
import type { Identification } from './identification.ts';
import { compareKeys, nameKey } from './name-key.ts';
import type { OwnershipRecord } from './ownership-store.ts';
import { namesText, type UnreadVm, UnreadVms } from './unread-vms.ts';
import type { Vm } from './vm.ts';
import { VmDescriber, type VmDescriberOptions } from './vm-describer.ts';

export interface ListedVmsOptions extends VmDescriberOptions {
  /** Is shown each VM as it is found. */
  readonly runs: Pick<
    RunBook,
    'observe' | 'noteTerminated' | 'noteRebooted' | 'noteWatchdog' | 'keepOnly'
  >;
  /** What is no VM but left of one that was never made. Must cost nothing. */
  readonly isRemains: (vm: HypervisorVm) => boolean;
  readonly creations: Pick<Creations, 'list' | 'failureOf'>;
  /** VMs whose migration goes on, and it is not known yet whether they have left. */
  readonly isLeaving: (vmUid: string) => boolean;
  /** What is recorded of a VM that this node owns; undefined of any other. */
  readonly findOwned: (vmUid: string) => OwnershipRecord | undefined;
  /** All of those. */
  readonly listOwned: () => readonly OwnershipRecord[];
  readonly identification: Pick<Identification, 'isComplete' | 'accept'>;
  /** How long nothing is told because VMs cannot be read. Default 10 s. */
  readonly unreadPatienceMs?: number | undefined;
  readonly log: Logger;
}

/** What the hypervisor has at one time. */
export interface VmListing {
  /** Ours and others', those that are still arriving too. */
  readonly domains: readonly HypervisorVm[];
  readonly usage: ReadonlyMap<string, VmStatistics>;
}

/** Why nothing can be told of VMs yet. */
export interface VmsObstacle {
  readonly reason: 'VmsNotListed' | 'VmsNotIdentified';
  readonly message: string;
}

const NOT_LISTED: VmsObstacle = {
  reason: 'VmsNotListed',
  message:
    'Nothing can be said of VMs yet: the hypervisor has not been listed, or not all of its VMs read, since the agent started; check that libvirt runs',
};

/** What one listing after another makes known of the VMs of this node. */
export class ListedVms {
  readonly unread: UnreadVms;
  readonly #options: ListedVmsOptions;
  readonly #vms: WatchedSet<Vm>;
  readonly #describer: VmDescriber;
  /** Of those that are being made and are not there yet: they are told of, and nobody here acts upon them. */
  readonly #coming = new Set<string>();
  /** Those that have come since, until their creations have ended. */
  readonly #made = new Set<string>();
  #foreign: readonly ForeignVm[] = [];
  #areTold = false;
  #sorted: { readonly of: string; readonly vms: readonly Vm[] } = { of: '', vms: [] };

  constructor(options: ListedVmsOptions) {
    this.#options = options;
    this.#vms = new WatchedSet(options.origins);
    this.#describer = new VmDescriber(options);
    this.unread = new UnreadVms({
      isOwner: (vmUid) => options.findOwned(vmUid) !== undefined,
      identification: options.identification,
      patienceMs: options.unreadPatienceMs,
      log: options.log,
    });
  }

  /** Why nothing of them may be told; undefined from then on when all were read, or waited for long enough. */
  findObstacle(): VmsObstacle | undefined {
    if (this.#areTold) return undefined;
    if (!this.unread.isHeldUp()) return NOT_LISTED;
    return {
      reason: 'VmsNotIdentified',
      message: `Nothing can be said of VMs yet: the agent's journal is new, so VMs that libvirt cannot describe may be of this node: ${namesText(this.unread.listUnidentified())}; look with "virsh dumpxml" and the uid for what they wait for, or, to go on without them, say: novactl node accept-unidentified`,
    };
  }

  /** Those that no agent has made and that are on. */
  get foreign(): readonly ForeignVm[] {
    return this.#foreign;
  }

  /** Without those that are being made and are not there yet, as `values`. */
  get(uid: string): Vm | undefined {
    return this.#coming.has(uid) ? undefined : this.#vms.get(uid);
  }

  *values(): IterableIterator<Vm> {
    for (const vm of this.#vms.values()) if (!this.#coming.has(vm.definition.uid)) yield vm;
  }

  /** As `values`, by namespace and name. */
  sorted(): readonly Vm[] {
    const of = `${this.#vms.edits}.${this.#coming.size}`;
    if (this.#sorted.of !== of) this.#sorted = { of, vms: [...this.values()].toSorted(byName) };
    return this.#sorted.vms;
  }

  /** Those that are being made and are not there yet. */
  coming(): readonly Vm[] {
    return [...this.#coming].flatMap((uid) => this.#vms.get(uid) ?? []);
  }

  watch(
    matches: (vm: Vm) => boolean,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Vm>, void, undefined> {
    return this.#vms.watch(matches, cursor, signal);
  }

  /** Takes a listing in the place of the one before, and returns what is there, ours or not. */
  put(listing: VmListing): readonly SeenVm[] {
    const ours = new Set<string>();
    for (const found of listing.domains) {
      if (this.#take(found, listing.usage.get(found.uid))) ours.add(found.uid);
    }
    this.#foreign = foreignOf(listing.domains, listing.usage);
    this.#options.runs.keepOnly(new Set(listing.domains.map(({ uid }) => uid)));
    this.unread.put(unreadOf(listing).filter(({ uid }) => this.get(uid)?.isRead !== true));
    if (this.unread.mayBeLeftOut()) this.#areTold = true;
    for (const uid of this.#standInForUnread()) ours.add(uid);
    this.#dropAllBut(ours);
    this.#reviewCreations(true);
    return listing.domains.map((domain) => {
      const { uid } = domain;
      return { uid, domain, vm: ours.has(uid) ? this.get(uid) : undefined };
    });
  }

  /** A creation has begun or ended. */
  reviewCreations(): void {
    this.#reviewCreations(false);
  }

  /** For when the hypervisor cannot be asked. */
  markUnknown(): void {
    for (const vm of this.values()) {
      this.#report(vm.definition.uid, this.#describer.describeUnknown(vm, 'unreachable'));
    }
  }

  /**
   * By what is recorded of them, the VMs of an agent that has not been able to ask the hypervisor since it started. Undefined
   * where the record has none, or may not have all, and once VMs are told.
   */
  recorded(): readonly Vm[] | undefined {
    const { identification, listOwned } = this.#options;
    if (this.#areTold || !identification.isComplete) return undefined;
    const vms = listOwned().map((record) => {
      const vm = this.#describer.describeUnread(record, undefined);
      return this.#describer.describeUnknown(vm, 'unreachable');
    });
    return vms.length === 0 ? undefined : vms;
  }

  /** Whether a VM of a listing is one of ours, by what it says itself or has said before. */
  #take(found: HypervisorVm, usage: VmStatistics | undefined): boolean {
    const { uid, definition } = found;
    const known = this.get(uid);
    // One that is still arriving belongs to its source.
    if (found.state === 'incoming' || this.#options.isRemains(found)) return false;
    if (!found.isRead) {
      if (known?.isRead !== true) return false;
      this.#report(uid, this.#describer.describeUnknown(known, 'not-read'));
      return true;
    }
    // Others' VMs are not ours to report.
    if (definition === undefined) return false;
    this.#options.runs.observe(found, definition);
    this.#report(uid, this.#describer.describe(found, definition, usage, known));
    return true;
  }

  /** Reports the unread VMs that this node owns by what is recorded of them, and returns their uids. */
  #standInForUnread(): readonly string[] {
    const owned = this.unread
      .list()
      .map(({ uid }) => this.#options.findOwned(uid))
      .filter((record) => record !== undefined);
    for (const record of owned) {
      const previous = this.get(record.uid);
      this.#report(record.uid, this.#describer.describeUnread(record, previous));
    }
    return owned.map(({ uid }) => uid);
  }

  #dropAllBut(uids: ReadonlySet<string>): void {
    const beingMade = new Set(Array.from(this.#options.creations.list(), ({ uid }) => uid));
    for (const known of this.values()) {
      const { uid } = known.definition;
      if (uids.has(uid)) continue;
      // It is taken back, or made anew; what comes of that its creation tells.
      if (beingMade.has(uid)) {
        this.#report(uid, this.#describer.describeComing(known.definition, known));
        this.#coming.add(uid);
        continue;
      }
      // Told as gone once it can be said where to.
      if (this.#options.isLeaving(uid)) {
        this.#report(uid, this.#describer.describeUnknown(known, 'leaving'));
        continue;
      }
      this.#drop(known);
    }
    for (const uid of this.#made) {
      // One that has failed is soon gone.
      const isUndone = this.#options.creations.failureOf(uid) !== undefined;
      if (!beingMade.has(uid) && !isUndone) this.#made.delete(uid);
    }
  }

  /** Tells of those that are being made from when that was accepted until they are there, or it has come to nothing. */
  #reviewCreations(isListed: boolean): void {
    if (!this.#areTold) return;
    const beingMade = new Map(
      Array.from(this.#options.creations.list(), (definition) => [definition.uid, definition]),
    );
    for (const vm of this.coming()) {
      const { uid } = vm.definition;
      if (beingMade.has(uid)) continue;
      // Of one that was made the next listing tells.
      if (isListed || this.#options.creations.failureOf(uid) !== undefined) this.#drop(vm);
    }
    const unread = new Set(this.unread.list().map(({ uid }) => uid));
    for (const [uid, definition] of beingMade) {
      if (this.#vms.get(uid) !== undefined || unread.has(uid)) continue;
      this.#coming.add(uid);
      this.#vms.put(uid, this.#describer.describeComing(definition, undefined));
    }
  }

  /** It is gone; of one whose creation has come to nothing the last that is told says why. */
  #drop(vm: Vm): void {
    const { uid } = vm.definition;
    const wasBeingMade = this.#coming.delete(uid) || this.#made.has(uid);
    const failure = wasBeingMade ? this.#options.creations.failureOf(uid) : undefined;
    if (failure !== undefined) {
      this.#vms.replaceQuietly(uid, this.#describer.describeNotMade(vm, failure));
    }
    this.#made.delete(uid);
    this.#vms.delete(uid);
    this.#describer.forget(uid);
  }

  /** Watchers are told of everything but figures. One of which nothing has changed stays the same object. */
  #report(uid: string, vm: Vm): void {
    if (this.#coming.delete(uid)) this.#made.add(uid);
    const before = this.#vms.get(uid);
    if (before !== undefined && areEqual(before, vm)) return;
    if (before !== undefined && sameButFigures(before, vm)) this.#vms.replaceQuietly(uid, vm);
    else this.#vms.put(uid, vm);
  }
}

export function byName(left: Vm, right: Vm): number {
  return compareKeys(nameKey(left.definition), nameKey(right.definition));
}

/** Those of a listing that could not be read; one that is still arriving belongs to its source. */
function unreadOf({ domains, usage }: VmListing): readonly UnreadVm[] {
  return domains
    .filter(({ state, isRead }) => state !== 'incoming' && !isRead)
    .map((found) => ({
      uid: found.uid,
      hypervisorName: found.hypervisorName,
      memoryBytes: isOn(found) ? usage.get(found.uid)?.memoryActualBytes : 0,
    }));
}

function sameButFigures(left: Vm, right: Vm): boolean {
  return areEqual(withoutFigures(left), withoutFigures(right));
}

/** Part by part, as most parts of a VM that has not changed are the same objects. */
function areEqual<T extends object>(left: T, right: T): boolean {
  const names = Object.keys(left) as (keyof T)[];
  if (names.length !== Object.keys(right).length) return false;
  return names.every((name) =>
    left[name] === right[name]
      ? Object.hasOwn(right, name)
      : isDeepStrictEqual(left[name], right[name]),
  );
}

function withoutFigures(vm: Vm): object {
  const migration = vm.migration && { ...vm.migration, fractionDone: 0 };
  return { ...vm, statistics: 0, migration };
}
