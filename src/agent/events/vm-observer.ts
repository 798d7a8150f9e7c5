import type { MigrationBook } from '../migration/migration-book.ts';
import type { OperationKind } from '../operations/operation.ts';
import type { Look } from '../reconcile/controller.ts';
import type { RunBook } from '../runs/run-book.ts';
import type { Vm } from '../vms/vm.ts';
import type { EventNote, EventVm } from './event.ts';
import type { EventBook, Mark } from './event-book.ts';
import type { RecentRequests, Request } from './recent-requests.ts';
import { goneMark, type SightStore, seenMark } from './sight-store.ts';
import { isGone, VanishedVms, type VanishedVmsOptions } from './vanished-vms.ts';
import { vmChanges } from './vm-changes.ts';
import {
  isSameSight,
  isWhole,
  type SeenCondition,
  sightOf,
  sightOfNew,
  type VmSight,
  type WholeVm,
} from './vm-sight.ts';

export interface VmObserverOptions extends VanishedVmsOptions {
  readonly book: Pick<EventBook, 'note'>;
  readonly requests: RecentRequests;
  readonly runs: Pick<RunBook, 'rebootsOf' | 'watchdogOf'>;
  readonly migrations: Pick<MigrationBook, 'list' | 'outgoingOf'>;
}

/** What may make a VM one of this node. */
const MAKING: readonly OperationKind[] = ['create', 'apply', 'adopt'];
/** Said of what an agent finds at its first look. */
const LATE = ' (seen when the agent was started)';

/**
 * Finds out what has happened to VMs, by comparing how they are with how they were last seen. That is in the journal, written
 * together with the events that came of it: what happens while no agent runs is told by the next one, and nothing is told twice.
 */
export class VmObserver {
  readonly #options: VmObserverOptions;
  readonly #vanished: VanishedVms;
  readonly #sights: Map<string, VmSight>;
  /** Each as it was at the last look of this agent, and when that was. */
  readonly #looked = new Map<string, { vm: Vm; reboots: number; firings: number; atMs: number }>();
  #hasLooked = false;
  /** An agent that has never looked takes all VMs that are there for known. */
  readonly #isNew: boolean;

  private constructor(options: VmObserverOptions, sights: readonly VmSight[]) {
    this.#options = options;
    this.#vanished = new VanishedVms(options);
    this.#sights = new Map(sights.map((sight) => [sight.vm.uid, sight]));
    this.#isNew = sights.length === 0;
  }

  static async load(options: VmObserverOptions, store: SightStore): Promise<VmObserver> {
    return new VmObserver(options, await store.list());
  }

  /** The conditions of a VM as they were last seen, by whichever agent. Costs nothing. */
  conditionsOf(vmUid: string): readonly SeenCondition[] {
    return this.#sights.get(vmUid)?.conditions ?? [];
  }

  /** Everything was looked at. */
  observe({ vms }: Look): void {
    const atMs = Date.now();
    const byUid = new Map(vms.map((seen) => [seen.uid, seen]));
    for (const seen of vms) if (isWhole(seen)) this.#observe(seen, atMs);
    for (const uid of this.#sights.keys()) {
      if (isGone(byUid.get(uid))) this.#miss(uid, byUid.get(uid), atMs);
    }
    this.#hasLooked = true;
  }

  /** Its creation has ended well: it is known from now on. What marks it as that, undefined if it was known already. */
  noteCreated(vm: EventVm, atMs: number): Mark | undefined {
    if (this.#sights.has(vm.uid)) return undefined;
    const sight = sightOfNew(vm, atMs);
    this.#sights.set(vm.uid, sight);
    return seenMark(sight);
  }

  /** It was deleted: one of the same uid is another one. */
  noteDeleted(vmUid: string): Mark {
    this.#forget(vmUid);
    return goneMark(vmUid);
  }

  #observe(seen: WholeVm, atMs: number): void {
    const { book, runs, requests } = this.#options;
    const { uid, vm } = seen;
    const before = this.#sights.get(uid);
    const reboots = runs.rebootsOf(uid);
    const watchdog = runs.watchdogOf(uid);
    const firings = watchdog?.count ?? 0;
    const last = this.#looked.get(uid);
    const isHeard = last?.reboots === reboots && last.firings === firings;
    if (before !== undefined && last?.vm === vm && isHeard) {
      last.atMs = atMs;
      return;
    }
    const now = sightOf(seen, before, { reboots, watchdog, atMs });
    if (before === undefined) {
      const arrival = this.#arrivalOf(now);
      if (arrival === 'wait') return;
      book.note(arrival === undefined ? [] : [arrival], [seenMark(now)]);
    } else {
      const sinceMs = last?.atMs ?? before.atMs;
      const found = new Set<Request>();
      const requestOf = (...kinds: readonly OperationKind[]) => {
        const request = requests.behind(uid, kinds, sinceMs);
        if (request !== undefined) found.add(request);
        return request;
      };
      const notes = vmChanges({ before, now, seen, requestOf }, atMs);
      for (const request of found) {
        if (notes.some(({ operationId }) => operationId === request.id)) {
          requests.noteUsed(uid, request);
        }
      }
      const isSame = notes.length === 0 && isSameSight(before, now);
      book.note(this.#datedNotes(notes), isSame ? [] : [seenMark(now)]);
    }
    this.#sights.set(uid, now);
    this.#looked.set(uid, { vm, reboots, firings, atMs });
  }

  /** Of a VM that was not seen before. */
  #arrivalOf({ vm, atMs }: VmSight): EventNote | 'wait' | undefined {
    const { operations, migrations, ownership } = this.#options;
    // Its end tells whether it stays.
    if (operations.openOf(vm.uid).some(({ kind }) => MAKING.includes(kind))) {
      return 'wait';
    }
    // A look that was begun before it was deleted, or its creation undone, may come after that.
    const isUndone = operations.givenUpCreations.find(vm.uid) !== undefined;
    if (isUndone || ownership.find(vm.uid)?.isDeleted === true) return 'wait';
    if (this.#isNew && !this.#hasLooked) return undefined;
    const filter = { activeOnly: false, id: undefined, vmUid: vm.uid, labels: [] };
    const hasArrived = migrations.list(filter).some(({ role }) => role === 'destination');
    if (hasArrived) return undefined;
    const message = 'It is here, and this agent has neither made nor been sent it';
    return { vm, reason: 'Appeared', message, atMs };
  }

  #miss(uid: string, seen: Look['vms'][number] | undefined, atMs: number): void {
    const sight = this.#sights.get(uid);
    const what = this.#vanished.whatBecameOf(uid, seen);
    if (sight === undefined || what === 'wait') return;
    const notes = what === undefined ? [] : [{ ...what, vm: sight.vm, atMs }];
    this.#options.book.note(this.#datedNotes(notes), [goneMark(uid)]);
    this.#forget(uid);
  }

  #forget(uid: string): void {
    this.#sights.delete(uid);
    this.#looked.delete(uid);
    this.#options.requests.forget(uid);
  }

  #datedNotes(notes: readonly EventNote[]): readonly EventNote[] {
    if (this.#hasLooked) return notes;
    return notes.map((note) => {
      return { ...note, message: note.message + LATE, sameAs: note.sameAs ?? note.message };
    });
  }
}
