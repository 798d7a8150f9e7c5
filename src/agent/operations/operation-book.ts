import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import { Turns } from '../../core/turns.ts';
import { tidy } from '../journal/tidy.ts';
import type { Origins, WatchCursor, WatchEvent } from '../reports/report.ts';
import { WatchedSet } from '../reports/watched-set.ts';
import { GivenUpCreations } from './given-up-creations.ts';
import {
  hasEnded,
  type Operation,
  type OperationError,
  type OperationFilter,
  type OperationKind,
  type OperationProgress,
  type OperationRecord,
  type OperationState,
  type OperationVm,
} from './operation.ts';
import type { OperationStore } from './operation-store.ts';

/** How an operation ends. */
export interface OperationEnd {
  readonly state: Exclude<OperationState, 'pending' | 'running'>;
  readonly result?: string;
  readonly warnings?: readonly string[];
  readonly error?: OperationError;
  readonly supersededBy?: string;
}

/** How an operation meets those that go on. */
export interface Meet {
  /** It takes their place. */
  readonly supersedes: readonly OperationRecord[];
  /** It is the same as this one. */
  readonly means?: OperationRecord | undefined;
}

/** Those of which the last that has ended is remembered for each VM, as it tells why the VM is on or off, or stands still. */
const POWER_KINDS: readonly OperationKind[] = [
  'start',
  'shutdown',
  'destroy',
  'reset',
  'reboot',
  'restart',
  'suspend',
  'resume',
];

/** What has a VM stand still, or run whatever had it stand still before. */
const STANDING_KINDS: readonly OperationKind[] = [
  'suspend',
  'resume',
  'start',
  'restart',
  'reboot',
];

/** The turn of those that begin; no uid is like it. */
const BEGINNING = 'beginning';
/** So many of those that have ended are still told to who begins to watch. */
const REMEMBERED = 200;
/** Between two reports of how one gets on. */
const PROGRESS_INTERVAL_MS = 1_000;

/**
 * The operations of this node. Those that go on are in memory, with the latest that have ended; each change is in the
 * journal before it is there and before anybody hears of it.
 */
export class OperationBook {
  readonly #store: OperationStore;
  readonly #origins: Origins;
  readonly #open = new Map<string, OperationRecord>();
  /** Ids of those that go on, by the uid of their VM: asked for every VM at every look. */
  readonly #openIds = new Map<string, Set<string>>();
  readonly #known: WatchedSet<Operation>;
  /** Between reading the operations of a VM and having written one, nobody else may change them. */
  readonly #turns = new Turns();
  readonly #ended: string[] = [];
  /** By the VM's uid, then by kind, the last at the end. */
  readonly #lastEnded = new Map<string, Map<OperationKind, OperationRecord>>();
  /** By the VM's uid: the last of `STANDING_KINDS` that has succeeded. */
  readonly #lastStanding = new Map<string, OperationRecord>();
  readonly #onChange: (record: OperationRecord) => void;
  /** When watchers were last told how one gets on, by the clock that nobody sets. */
  readonly #toldAtMs = new Map<string, number>();

  readonly givenUpCreations: GivenUpCreations;

  private constructor(
    store: OperationStore,
    givenUpCreations: GivenUpCreations,
    origins: Origins,
    onChange: (record: OperationRecord) => void,
  ) {
    this.#store = store;
    this.givenUpCreations = givenUpCreations;
    this.#origins = origins;
    this.#known = new WatchedSet(origins);
    this.#onChange = onChange;
  }

  /** `onChange` is called whenever an operation has begun, come to another step than its first, or ended. */
  static async load(
    store: OperationStore,
    origins: Origins,
    onChange: (record: OperationRecord) => void = () => undefined,
  ): Promise<OperationBook> {
    await tidy(() => store.prune(Date.now()));
    const givenUpCreations = await GivenUpCreations.load(store);
    const book = new OperationBook(store, givenUpCreations, origins, onChange);
    for (const record of await store.listLastEnded(POWER_KINDS)) book.#rememberEnd(record);
    for (const record of await store.listLastSucceeded(STANDING_KINDS)) {
      book.#lastStanding.set(record.vm.uid, record);
    }
    for (const record of await store.listOpen()) {
      book.#keepOpen(record);
      book.#report(record);
    }
    return book;
  }

  /**
   * Records an operation, and how it meets those of its VM that go on, be they of its uid or its name, unless `meet` fails. If
   * its id is known, or it means one that goes on, nothing changes, and that one is returned.
   */
  begin(
    record: OperationRecord,
    meet: (open: readonly OperationRecord[]) => Meet = () => ({ supersedes: [] }),
  ): Promise<OperationRecord | undefined> {
    // A VM that is made has no uid yet that others could know, so all that begin wait for each other.
    return this.#turns.take(BEGINNING, () =>
      this.#turns.take(record.vm.uid, async () => {
        const known = await this.find(record.id);
        if (known !== undefined) return known;
        const { supersedes, means } = meet(this.openOf(record.vm));
        if (means !== undefined) return means;
        const ends = supersedes.map((other) =>
          ended(other, { state: 'superseded', supersededBy: record.id }),
        );
        const inserted = await this.#store.insert(record, ends);
        if (inserted !== undefined) return inserted;
        for (const end of ends) this.#keepEnd(end);
        this.givenUpCreations.note(record);
        if (hasEnded(record)) {
          this.#keepEnd(record);
        } else {
          this.#keepOpen(record);
          this.#onChange(record);
        }
        this.#report(record);
        return undefined;
      }),
    );
  }

  /** Forgets those that ended long ago. */
  async prune(): Promise<void> {
    await this.#store.prune(Date.now());
  }

  /** Those that go on of a VM, by its uid, or also of one that has its name; the oldest first. Costs nothing. */
  openOf(wanted: string | OperationVm): readonly OperationRecord[] {
    if (typeof wanted !== 'string') {
      const isMeant = ({ vm }: OperationRecord) => vm.uid === wanted.uid || isNamesake(vm, wanted);
      return [...this.#open.values()].filter(isMeant);
    }
    return [...(this.#openIds.get(wanted) ?? [])].flatMap((id) => this.#open.get(id) ?? []);
  }

  /** All that go on, the oldest first. Costs nothing. */
  listOpen(): readonly OperationRecord[] {
    return [...this.#open.values()];
  }

  /**
   * Of each of the verbs for the power of a VM that was not deleted the last that has ended, whichever came last at the
   * end. Costs nothing.
   */
  lastEnded(vmUid: string): readonly OperationRecord[] {
    return [...(this.#lastEnded.get(vmUid)?.values() ?? [])];
  }

  /**
   * The last that has succeeded of what has a VM stand still or run; undefined if none is remembered. A reset is none of them: it
   * leaves a VM standing still that does. Costs nothing.
   */
  lastStanding(vmUid: string): OperationRecord | undefined {
    return this.#lastStanding.get(vmUid);
  }

  /** The uids of VMs of which operations go on. */
  openVms(): readonly string[] {
    return [...this.#openIds.keys()];
  }

  openIds(): readonly string[] {
    return [...this.#open.keys()];
  }

  /** One that goes on; undefined if it has ended or is not known. Costs nothing. */
  open(id: string): OperationRecord | undefined {
    return this.#open.get(id);
  }

  /** Whether watchers are told of it: it goes on, or is one of the latest that have ended. */
  remembers(id: string): boolean {
    return this.#known.get(id) !== undefined;
  }

  async find(id: string): Promise<OperationRecord | undefined> {
    return this.#open.get(id) ?? (await this.#store.find(id));
  }

  /** Fails with OPERATION_NOT_FOUND. */
  async get(id: string): Promise<Operation> {
    const record = await this.find(id);
    if (record !== undefined) {
      const operation = this.#known.get(id) ?? this.#toOperation(record);
      return { ...operation, parameters: record.parameters };
    }
    throw new AgentError(
      'OPERATION_NOT_FOUND',
      `There is no operation ${id} on this node; those that ended long ago are forgotten`,
      { metadata: { operationId: id } },
    );
  }

  async list(
    filter: OperationFilter,
    page: { readonly after: number | undefined; readonly limit: number },
  ): Promise<{ readonly items: readonly Operation[]; readonly next: number | undefined }> {
    const { records, next } = await this.#store.list(filter, page);
    const items = records.map((record) =>
      this.#toOperation(record, this.#known.get(record.id)?.progress),
    );
    return { items, next };
  }

  watch(
    matches: (operation: Operation) => boolean,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Operation>, void, undefined> {
    return this.#known.watch(matches, cursor, signal);
  }

  /** It is being done: what about it, and what of it is to be told in the end. One that has ended stays as it is. */
  step(
    id: string,
    step: string,
    progress?: OperationProgress,
    warnings: readonly string[] = [],
  ): Promise<void> {
    return this.#change(id, async (record) => {
      const isNoted = warnings.every((warning) => record.warnings.includes(warning));
      if (record.state === 'running' && record.step === step && isNoted) {
        this.tellProgress(id, progress);
        return;
      }
      const startedAtMs = record.startedAtMs ?? notBefore(record.requestedAtMs);
      const noted = withWarnings(record, warnings);
      const running: OperationRecord = { ...noted, state: 'running', step, startedAtMs };
      await this.#store.update(running);
      this.#open.set(id, running);
      this.#report(running, progress);
      // Whoever takes its first step looks at the VM anyway.
      if (record.step !== '') this.#onChange(running);
    });
  }

  /** How far one that goes on has come, which is kept nowhere. Watchers are told about once a second. */
  tellProgress(id: string, progress: OperationProgress | undefined): void {
    const known = this.#known.get(id);
    if (known === undefined || !this.#open.has(id)) return;
    if (isDeepStrictEqual(known.progress, progress)) return;
    const operation = { ...known, progress };
    const nowMs = performance.now();
    const toldAtMs = this.#toldAtMs.get(id) ?? Number.NEGATIVE_INFINITY;
    if (nowMs - toldAtMs < PROGRESS_INTERVAL_MS && known.progress?.message === progress?.message) {
      this.#known.replaceQuietly(id, operation);
      return;
    }
    this.#toldAtMs.set(id, nowMs);
    this.#known.putPassing(id, operation);
  }

  /** One that has ended stays as it is. */
  end(id: string, end: OperationEnd): Promise<void> {
    return this.#change(id, async (record) => {
      const over = ended(record, end);
      await this.#store.update(over);
      this.#keepEnd(over);
    });
  }

  /** As lists and watches tell it. */
  #toOperation(record: OperationRecord, progress?: OperationProgress): Operation {
    const { manifest: _manifest, ...parameters } = record.parameters;
    return { ...record, parameters, progress, origin: this.#origins.current() };
  }

  async #change(id: string, change: (record: OperationRecord) => Promise<void>): Promise<void> {
    const seen = this.#open.get(id);
    if (seen === undefined) return;
    await this.#turns.take(seen.vm.uid, async () => {
      const record = this.#open.get(id);
      if (record !== undefined) await change(record);
    });
  }

  #keepOpen(record: OperationRecord): void {
    const { id, vm } = record;
    this.#open.set(id, record);
    const ids = this.#openIds.get(vm.uid) ?? new Set();
    this.#openIds.set(vm.uid, ids.add(id));
  }

  #keepEnd(record: OperationRecord): void {
    this.#open.delete(record.id);
    this.#toldAtMs.delete(record.id);
    const ids = this.#openIds.get(record.vm.uid);
    ids?.delete(record.id);
    if (ids?.size === 0) this.#openIds.delete(record.vm.uid);
    this.#rememberEnd(record);
    this.#onChange(record);
    this.givenUpCreations.note(record);
    this.#report(record);
    this.#ended.push(record.id);
    for (const id of this.#ended.splice(0, this.#ended.length - REMEMBERED)) this.#known.delete(id);
  }

  #rememberEnd(record: OperationRecord): void {
    const { kind, state, vm } = record;
    if (kind === 'delete' && state === 'succeeded') {
      this.#lastEnded.delete(vm.uid);
      this.#lastStanding.delete(vm.uid);
    }
    if (state === 'succeeded' && STANDING_KINDS.includes(kind)) {
      this.#lastStanding.set(vm.uid, record);
    }
    if (!POWER_KINDS.includes(kind)) return;
    const ofVm = this.#lastEnded.get(vm.uid) ?? new Map<OperationKind, OperationRecord>();
    this.#lastEnded.set(vm.uid, ofVm);
    const before = ofVm.get(kind);
    // One that was superseded ends before the one that has taken its place, and may be told of after it.
    if (before !== undefined && before.id === record.supersededBy) return;
    ofVm.delete(kind);
    ofVm.set(kind, record);
  }

  #report(record: OperationRecord, progress?: OperationProgress): void {
    this.#known.put(record.id, this.#toOperation(record, progress));
  }
}

function withWarnings(record: OperationRecord, more: readonly string[]): OperationRecord {
  return { ...record, warnings: [...new Set([...record.warnings, ...more])] };
}

function ended(record: OperationRecord, end: OperationEnd): OperationRecord {
  const { state, result = '', warnings = [], error, supersededBy = '' } = end;
  if (hasEnded(record)) throw new Error(`Operation ${record.id} has ended already`);
  const endedAtMs = notBefore(record.startedAtMs ?? record.requestedAtMs);
  return {
    ...withWarnings(record, warnings),
    state,
    step: '',
    endedAtMs,
    result,
    error,
    supersededBy,
  };
}

/** Now; or then, if the clock was put back since, so that nothing ends before it has begun. */
function notBefore(thenMs: number): number {
  return Math.max(Date.now(), thenMs);
}

function isNamesake(left: OperationVm, right: OperationVm): boolean {
  return left.namespace === right.namespace && left.name === right.name;
}
