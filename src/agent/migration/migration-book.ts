import { LatestValue } from '../../core/latest-value.ts';
import { Turns } from '../../core/turns.ts';
import type { Origins } from '../vms/vm-inventory.ts';
import type { Migration, MigrationProgress, MigrationSpec } from './migration.ts';
import type { MigrationRecord } from './migration-record.ts';
import type { MigrationStore } from './migration-store.ts';
import { NO_PROGRESS } from './progress.ts';
import { canMove, isCancellable, isFinal, type MigrationPhase } from './states.ts';

const LIST_LIMIT = 1_000;

/** What a move may record beside the phase. */
export type MovePatch = Partial<
  Pick<MigrationRecord, 'reason' | 'message' | 'result' | 'ownershipEpoch'>
>;

interface Active {
  record: MigrationRecord;
  readonly latest: LatestValue<Migration>;
}

/**
 * The migrations of this node. Those that go on are in memory as well, so that they can be looked at without waiting;
 * each phase is in the journal before it is there and before anybody hears of it. Progress is only in memory.
 */
export class MigrationBook {
  readonly #store: MigrationStore;
  readonly #origins: Origins;
  readonly #active = new Map<string, Active>();
  /** Between reading a phase and having written the next one, nobody else may move the same migration. */
  readonly #turns = new Turns();
  readonly #endListeners: ((migration: Migration) => void)[] = [];

  private constructor(store: MigrationStore, origins: Origins, active: readonly MigrationRecord[]) {
    this.#store = store;
    this.#origins = origins;
    for (const record of active) this.#add(record);
  }

  static async load(store: MigrationStore, origins: Origins): Promise<MigrationBook> {
    return new MigrationBook(store, origins, await store.listActive());
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
      if (begun.created && !isFinal(record.phase)) this.#add(record);
      return begun;
    });
  }

  /** A migration that goes on; undefined if it has ended or is not known. */
  active(id: string): MigrationRecord | undefined {
    return this.#active.get(id)?.record;
  }

  async find(id: string): Promise<MigrationRecord | undefined> {
    return this.active(id) ?? (await this.#store.find(id));
  }

  /** Fails with MIGRATION_NOT_FOUND. */
  async get(id: string): Promise<Migration> {
    return this.#active.get(id)?.latest.value ?? this.#toMigration(await this.#store.get(id));
  }

  async list(activeOnly: boolean): Promise<readonly Migration[]> {
    const records = await this.#store.list({ activeOnly, limit: LIST_LIMIT });
    return records.map(
      (record) => this.#active.get(record.id)?.latest.value ?? this.#toMigration(record),
    );
  }

  /** The oldest first. */
  listActive(role: MigrationRecord['role']): readonly MigrationRecord[] {
    const records = [...this.#active.values()].map(({ record }) => record);
    return records.filter((record) => record.role === role);
  }

  /** How many migrations go on; costs nothing. */
  countActive(role: MigrationRecord['role']): number {
    return this.listActive(role).length;
  }

  /** Calls a listener once for each migration that reaches a final phase from now on. */
  onEnded(listener: (migration: Migration) => void): void {
    this.#endListeners.push(listener);
  }

  /** The migration that a VM is leaving this node by; undefined if none. */
  outgoingOf(vmUid: string): string | undefined {
    return this.listActive('source').find((record) => record.vmUid === vmUid)?.id;
  }

  async *watch(id: string, signal: AbortSignal): AsyncGenerator<Migration, void, undefined> {
    const active = this.#active.get(id);
    if (active === undefined) yield await this.get(id);
    else yield* active.latest.watch(signal);
  }

  /** Moves on to a phase. A phase that is reached already stays; a move that the table forbids is our own fault. */
  move(id: string, phase: MigrationPhase, patch: MovePatch = {}): Promise<MigrationRecord> {
    return this.#turns.take(id, async () => {
      const active = this.#active.get(id);
      const record = active?.record ?? (await this.#store.get(id));
      if (record.phase === phase) return record;
      if (active === undefined || !canMove(record.phase, phase)) {
        throw new Error(`Migration ${id} cannot go from ${record.phase} to ${phase}`);
      }
      const nowMs = Date.now();
      const moved: MigrationRecord = {
        ...record,
        message: '',
        ...patch,
        phase,
        phases: [...record.phases, { phase, startedAtMs: nowMs }],
        progress: active.latest.value.progress,
        endedAtMs: isFinal(phase) ? nowMs : undefined,
      };
      await this.#store.update(moved);
      active.record = moved;
      active.latest.set({
        ...this.#toMigration(moved),
        progress: active.latest.value.progress,
      });
      if (isFinal(phase)) this.#end(active);
      return moved;
    });
  }

  /** Records that a migration shall stop, unless it is past the point where it can, and returns it as it is then. */
  requestCancel(id: string): Promise<Migration> {
    return this.#turns.take(id, async () => {
      const active = this.#active.get(id);
      if (active === undefined || !isCancellable(active.record.phase)) return await this.get(id);
      if (!active.record.cancelRequested) {
        const record = { ...active.record, cancelRequested: true };
        await this.#store.update(record);
        active.record = record;
      }
      return active.latest.value;
    });
  }

  /** Says what is being waited for. */
  note(id: string, message: string): void {
    const latest = this.#active.get(id)?.latest;
    if (latest === undefined || latest.value.message === message) return;
    latest.set({ ...latest.value, message, origin: this.#origins.next() });
  }

  /** Only of a migration that goes on. */
  setProgress(id: string, progress: MigrationProgress): void {
    const latest = this.#active.get(id)?.latest;
    latest?.set({ ...latest.value, progress, origin: this.#origins.current() });
  }

  /** None of a migration that does not go on. */
  progressOf(id: string): MigrationProgress {
    return this.#active.get(id)?.latest.value.progress ?? NO_PROGRESS;
  }

  #add(record: MigrationRecord): void {
    const latest = new LatestValue(this.#toMigration(record));
    this.#active.set(record.id, { record, latest });
  }

  #end({ record, latest }: Active): void {
    latest.end();
    this.#active.delete(record.id);
    for (const listener of this.#endListeners) listener(latest.value);
  }

  #toMigration(record: MigrationRecord): Migration {
    const thisNode = this.#origins.current().nodeName;
    const outgoing = record.role === 'source';
    return {
      id: record.id,
      spec:
        record.spec === undefined
          ? specOf(record, thisNode)
          : { ...record.spec, vm: refOf(record) },
      role: record.role,
      sourceNode: outgoing ? thisNode : record.peerNode,
      destinationNode: outgoing ? record.peerNode : thisNode,
      phase: record.phase,
      reason: record.reason,
      message: record.message,
      startedAtMs: record.startedAtMs,
      endedAtMs: record.endedAtMs,
      progress: record.progress ?? NO_PROGRESS,
      result: record.result,
      phases: record.phases,
      transport: 'stream',
      origin: this.#origins.next(),
    };
  }
}

function refOf(record: MigrationRecord): MigrationSpec['vm'] {
  return { namespace: record.vmNamespace, name: record.vmName, uid: record.vmUid };
}

function specOf(record: MigrationRecord, destinationNode: string): MigrationSpec {
  return {
    vm: refOf(record),
    destinationNode,
    destinationAddress: undefined,
    maxDowntimeMs: undefined,
    bandwidthBytesPerSecond: 0,
    timeoutMs: undefined,
  };
}
