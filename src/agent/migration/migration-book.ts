import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import { matchesLabels } from '../../core/label-selector.ts';
import { Turns } from '../../core/turns.ts';
import type { Origins, WatchCursor, WatchEvent } from '../reports/report.ts';
import { WatchedSet } from '../reports/watched-set.ts';
import { withKnown } from './figures.ts';
import type {
  Migration,
  MigrationFilter,
  MigrationProgress,
  MigrationResult,
} from './migration.ts';
import type { MigrationRecord, MigrationSummary, OtherNodeOff } from './migration-record.ts';
import type { MigrationStore } from './migration-store.ts';
import { halt, loseSight, NO_PROGRESS } from './progress.ts';
import { toMigration } from './reported-migration.ts';
import { canMove, isCancellable, isFinal, type MigrationPhase } from './states.ts';

/** What a move may record beside the phase. */
export type MovePatch = Partial<
  Pick<MigrationRecord, 'reason' | 'message' | 'result' | 'ownershipEpoch' | 'blueprint'>
>;

/**
 * The migrations of this node, those that have ended as well, as many as the store keeps. They are in memory, so that they
 * can be looked at without waiting; each phase is in the journal before it is there and before anybody hears of it.
 * Progress is only in memory.
 */
export class MigrationBook {
  readonly #store: MigrationStore;
  readonly #origins: Origins;
  readonly #active = new Map<string, MigrationRecord>();
  readonly #migrations: WatchedSet<Migration>;
  /** Between reading a phase and having written the next one, nobody else may move the same migration. */
  readonly #turns = new Turns();
  readonly #endListeners: ((migration: Migration) => void)[] = [];
  readonly #beginListeners: ((migration: Migration) => void)[] = [];

  private constructor(store: MigrationStore, origins: Origins) {
    this.#store = store;
    this.#origins = origins;
    this.#migrations = new WatchedSet(origins);
  }

  static async load(store: MigrationStore, origins: Origins): Promise<MigrationBook> {
    const known = await store.list({ activeOnly: false });
    const book = new MigrationBook(store, origins);
    // The oldest first, as they have come about.
    for (const summary of known.toReversed()) {
      if (isFinal(summary.phase)) book.#report(summary);
      else book.#add(taken(await store.get(summary.id)));
    }
    return book;
  }

  /**
   * Records a migration; `created` is false if its id is known, and the record then the known one. Of two that begin
   * with one id at the same time, one is told so.
   */
  begin(
    record: MigrationRecord,
  ): Promise<{ readonly record: MigrationRecord; readonly created: boolean }> {
    return this.#turns.take(record.id, async () => {
      const begun = await this.#store.insert(record);
      if (begun.created) {
        this.#add(record);
        for (const listener of this.#beginListeners) listener(this.get(record.id));
      }
      return begun;
    });
  }

  /** A migration that goes on; undefined if it has ended or is not known. */
  active(id: string): MigrationRecord | undefined {
    return this.#active.get(id);
  }

  async find(id: string): Promise<MigrationRecord | undefined> {
    return this.active(id) ?? (await this.#store.find(id));
  }

  /** Fails with MIGRATION_NOT_FOUND. */
  get(id: string): Migration {
    const migration = this.#migrations.get(id);
    if (migration !== undefined) return migration;
    throw new AgentError('MIGRATION_NOT_FOUND', `There is no migration ${id} on this node`, {
      metadata: { migrationId: id },
    });
  }

  /** The newest first. */
  list(filter: MigrationFilter): readonly Migration[] {
    return [...this.#migrations.values()]
      .filter((migration) => matches(migration, filter))
      .toSorted((left, right) => (isListedAfter(orderKey(left), orderKey(right)) ? 1 : -1));
  }

  /** The oldest first. */
  listActive(role: MigrationRecord['role']): readonly MigrationRecord[] {
    return [...this.#active.values()].filter((record) => record.role === role);
  }

  /** How many migrations go on; costs nothing. */
  countActive(role: MigrationRecord['role']): number {
    return this.listActive(role).length;
  }

  /** Calls a listener once for each migration that reaches a final phase from now on. */
  onEnded(listener: (migration: Migration) => void): void {
    this.#endListeners.push(listener);
  }

  /** Calls a listener once for each migration that is recorded from now on. One that has ended then is the promise that it never begins. */
  onBegun(listener: (migration: Migration) => void): void {
    this.#beginListeners.push(listener);
  }

  /** The migration that a VM is leaving this node by; undefined if none. */
  outgoingOf(vmUid: string): Migration | undefined {
    const record = this.listActive('source').find((candidate) => candidate.vmUid === vmUid);
    return record && this.#migrations.get(record.id);
  }

  watch(
    filter: MigrationFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Migration>, void, undefined> {
    return this.#migrations.watch((migration) => matches(migration, filter), cursor, signal);
  }

  /** Moves on to a phase. A phase that is reached already stays; a move that the table forbids is our own fault. */
  move(id: string, phase: MigrationPhase, patch: MovePatch = {}): Promise<MigrationRecord> {
    return this.#turns.take(id, async () => {
      const active = this.#active.get(id);
      const record = active ?? (await this.#store.get(id));
      if (record.phase === phase) return record;
      if (active === undefined || !canMove(record.phase, phase)) {
        throw new Error(`Migration ${id} cannot go from ${record.phase} to ${phase}`);
      }
      const nowMs = Date.now();
      // It may get on while this is recorded, which must not take that back.
      const progress = () => {
        const latest = this.progressOf(id);
        return isFinal(phase) && phase !== 'completed' ? halt(latest) : latest;
      };
      const moved: MigrationRecord = {
        ...record,
        message: '',
        ...patch,
        phase,
        phases: [...record.phases, { phase, startedAtMs: nowMs }],
        progress: progress(),
        endedAtMs: isFinal(phase) ? nowMs : undefined,
        ...(isFinal(phase) && { blueprint: undefined }),
      };
      await this.#update(moved);
      this.#active.set(id, moved);
      const latest = { ...toMigration(moved, this.#origins.current()), progress: progress() };
      const migration = this.#migrations.put(id, latest);
      if (isFinal(phase)) this.#end(migration);
      return moved;
    });
  }

  /**
   * Adds what the source knows of a migration that has brought a VM here; what it does not know stays as it was. Nothing
   * happens unless that has completed.
   */
  addResult(id: string, told: MigrationResult): Promise<void> {
    return this.#turns.take(id, async () => {
      const record = await this.#store.find(id);
      if (record?.role !== 'destination' || record.phase !== 'completed') return;
      const result = withKnown(record.result, told);
      if (isDeepStrictEqual(result, record.result)) return;
      const completed = { ...record, result };
      await this.#update(completed);
      this.#migrations.put(id, toMigration(completed, this.#origins.current()));
    });
  }

  /** Records that a migration shall stop, unless it is past the point where it can, and returns it as it is then. */
  requestCancel(id: string): Promise<Migration> {
    return this.#turns.take(id, async () => {
      const record = this.#active.get(id);
      if (record === undefined || !isCancellable(record.phase)) return this.get(id);
      if (!record.cancelRequested) {
        const cancelled = { ...record, cancelRequested: true };
        await this.#update(cancelled);
        this.#active.set(id, cancelled);
      }
      return this.get(id);
    });
  }

  /** Records that a migration is one of those that are sent at once. Nothing is begun before that. */
  noteTurn(id: string): Promise<MigrationRecord> {
    return this.#turns.take(id, async () => {
      const record = this.#active.get(id) ?? (await this.#store.get(id));
      const noted = { ...record, turnAtMs: Date.now() };
      await this.#update(noted);
      this.#active.set(id, noted);
      return noted;
    });
  }

  /** Records that the other node is off for good, of a migration that has ended as well. What was said first stays. */
  noteOtherNodeOff(id: string, said: OtherNodeOff): Promise<void> {
    return this.#turns.take(id, async () => {
      const record = this.#active.get(id) ?? (await this.#store.get(id));
      const { otherNodeOff: before = said } = record;
      const memoryLost = before.memoryLost || said.memoryLost;
      if (record.otherNodeOff !== undefined && memoryLost === before.memoryLost) return;
      const noted = { ...record, otherNodeOff: { ...before, memoryLost } };
      await this.#update(noted);
      if (this.#active.has(id)) this.#active.set(id, noted);
    });
  }

  /** Says what is being waited for. */
  note(id: string, message: string): void {
    const migration = this.#migrations.get(id);
    if (!this.#active.has(id) || migration === undefined || migration.message === message) return;
    this.#migrations.putPassing(id, { ...migration, message });
  }

  /** Only of a migration that goes on. What does not change is no news. */
  setProgress(id: string, progress: MigrationProgress): void {
    const migration = this.#migrations.get(id);
    if (!this.#active.has(id) || migration === undefined) return;
    if (isDeepStrictEqual(migration.progress, progress)) return;
    this.#migrations.putPassing(id, { ...migration, progress });
  }

  /** None of a migration that is not known. */
  progressOf(id: string): MigrationProgress {
    return this.#migrations.get(id)?.progress ?? NO_PROGRESS;
  }

  /** What the store forgets for it is forgotten here too. */
  async #update(record: MigrationRecord): Promise<void> {
    for (const id of await this.#store.update(record)) this.#migrations.delete(id);
  }

  #add(record: MigrationRecord): void {
    if (!isFinal(record.phase)) this.#active.set(record.id, record);
    this.#report(record);
  }

  #report(summary: MigrationSummary): void {
    this.#migrations.put(summary.id, toMigration(summary, this.#origins.current()));
  }

  #end(migration: Migration): void {
    this.#active.delete(migration.id);
    for (const listener of this.#endListeners) listener(migration);
  }
}

/** A migration that an earlier agent left, and that may have gone on while nobody looked. */
function taken(record: MigrationRecord): MigrationRecord {
  const { phase, progress = NO_PROGRESS } = record;
  return phase === 'preparing' ? record : { ...record, progress: loseSight(progress) };
}

/** What the order of a list follows: when a migration was asked for, and its id. */
export function orderKey({ startedAtMs, id }: Migration): string {
  return `${String(startedAtMs).padStart(16, '0')}/${id}`;
}

/** The newest comes first. */
export function isListedAfter(key: string, other: string): boolean {
  return key < other;
}

function matches(migration: Migration, filter: MigrationFilter): boolean {
  if (filter.activeOnly && isFinal(migration.phase)) return false;
  if (filter.id !== undefined && migration.id !== filter.id) return false;
  if (filter.vmUid !== undefined && migration.spec.vm.uid !== filter.vmUid) return false;
  return matchesLabels(filter.labels, migration.labels);
}
