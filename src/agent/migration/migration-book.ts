import { AgentError } from '../../core/errors.ts';
import { LatestValue } from '../../core/latest-value.ts';
import type { MigrationRecord, MigrationStore } from '../journal/migration-store.ts';
import type { Origins } from '../vms/vm-inventory.ts';
import type { Migration, MigrationProgress, MigrationSpec } from './migration.ts';
import { NO_PROGRESS } from './progress.ts';
import { canMove, isFinal, type MigrationPhase } from './states.ts';

const LIST_LIMIT = 1_000;

/** What a move may record beside the phase. */
export type MovePatch = Partial<
  Pick<MigrationRecord, 'reason' | 'message' | 'result' | 'ownershipEpoch'>
>;

/** The migrations of this node: each phase is in the journal before anybody hears of it, progress is only in memory. */
export class MigrationBook {
  readonly #store: MigrationStore;
  readonly #origins: Origins;
  readonly #active = new Map<string, LatestValue<Migration>>();
  readonly #endListeners: ((migration: Migration) => void)[] = [];

  constructor(store: MigrationStore, origins: Origins) {
    this.#store = store;
    this.#origins = origins;
    for (const record of [...store.listActive('source'), ...store.listActive('destination')]) {
      this.#active.set(record.id, new LatestValue(this.#toMigration(record)));
    }
  }

  /** Records a migration; `created` is false if its id is known, and the record then the known one. */
  begin(record: MigrationRecord): { readonly record: MigrationRecord; readonly created: boolean } {
    const begun = this.#store.insert(record);
    if (begun.created) {
      this.#active.set(record.id, new LatestValue(this.#toMigration(begun.record)));
    }
    return begun;
  }

  find(id: string): MigrationRecord | undefined {
    return this.#store.find(id);
  }

  /** Fails with MIGRATION_NOT_FOUND. */
  record(id: string): MigrationRecord {
    return this.#store.get(id);
  }

  get(id: string): Migration {
    return this.#active.get(id)?.value ?? this.#toMigration(this.#store.get(id));
  }

  list(activeOnly: boolean): readonly Migration[] {
    return this.#store
      .list({ activeOnly, limit: LIST_LIMIT })
      .map((record) => this.#active.get(record.id)?.value ?? this.#toMigration(record));
  }

  listActive(role: MigrationRecord['role']): readonly MigrationRecord[] {
    return this.#store.listActive(role);
  }

  /** How many migrations go on; costs nothing. */
  countActive(role: MigrationRecord['role']): number {
    return [...this.#active.values()].filter((latest) => latest.value.role === role).length;
  }

  /** Calls a listener once for each migration that reaches a final phase from now on. */
  onEnded(listener: (migration: Migration) => void): void {
    this.#endListeners.push(listener);
  }

  /** The migration that a VM is leaving this node by; undefined if none. */
  outgoingOf(vmUid: string): string | undefined {
    for (const [id, latest] of this.#active) {
      if (latest.value.role === 'source' && latest.value.spec.vm.uid === vmUid) return id;
    }
    return undefined;
  }

  async *watch(id: string, signal: AbortSignal): AsyncGenerator<Migration, void, undefined> {
    const latest = this.#active.get(id);
    if (latest === undefined) yield this.get(id);
    else yield* latest.watch(signal);
  }

  /** Moves on to a phase. A phase that is reached already stays; a move that the table forbids is our own fault. */
  move(id: string, phase: MigrationPhase, patch: MovePatch = {}): MigrationRecord {
    const record = this.#store.get(id);
    if (record.phase === phase) return record;
    if (!canMove(record.phase, phase)) {
      throw new Error(`Migration ${id} cannot go from ${record.phase} to ${phase}`);
    }
    const nowMs = Date.now();
    const latest = this.#active.get(id);
    const moved = this.#store.update(id, {
      message: '',
      ...patch,
      phase,
      phases: [...record.phases, { phase, startedAtMs: nowMs }],
      progress: latest?.value.progress,
      endedAtMs: isFinal(phase) ? nowMs : undefined,
    });
    latest?.set(this.#toMigration(moved));
    if (isFinal(phase)) {
      latest?.end();
      this.#active.delete(id);
      this.#store.prune();
      const ended = latest?.value ?? this.#toMigration(moved);
      for (const listener of this.#endListeners) listener(ended);
    }
    return moved;
  }

  requestCancel(id: string): void {
    this.#store.update(id, { cancelRequested: true });
  }

  /** Says what is being waited for. */
  note(id: string, message: string): void {
    const latest = this.#active.get(id);
    if (latest === undefined || latest.value.message === message) return;
    latest.set({ ...latest.value, message, origin: this.#origins.next() });
  }

  setProgress(id: string, progress: MigrationProgress): void {
    const latest = this.#active.get(id);
    latest?.set({ ...latest.value, progress, origin: this.#origins.current() });
  }

  progressOf(id: string): MigrationProgress {
    return this.#active.get(id)?.value.progress ?? this.#store.get(id).progress ?? NO_PROGRESS;
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

/** A new record in its first phase. */
export function newRecord(
  fields: Pick<
    MigrationRecord,
    | 'id'
    | 'role'
    | 'vmUid'
    | 'vmNamespace'
    | 'vmName'
    | 'spec'
    | 'peerNode'
    | 'peerAddress'
    | 'transferToken'
    | 'ownershipEpoch'
    | 'definition'
  >,
): MigrationRecord {
  const nowMs = Date.now();
  return {
    ...fields,
    phase: 'preparing',
    cancelRequested: false,
    reason: undefined,
    message: '',
    startedAtMs: nowMs,
    endedAtMs: undefined,
    phases: [{ phase: 'preparing', startedAtMs: nowMs }],
    progress: undefined,
    result: undefined,
  };
}

/** The wish of a repeated request must be that of the first. Fails with MIGRATION_ALREADY_EXISTS. */
export function assertSameWish(record: MigrationRecord, wish: MigrationSpec): void {
  const { namespace, name, uid } = wish.vm;
  const sameVm =
    record.vmNamespace === namespace &&
    record.vmName === name &&
    (uid ?? record.vmUid) === record.vmUid;
  if (record.role === 'source' && sameVm && record.peerNode === wish.destinationNode) return;
  throw new AgentError(
    'MIGRATION_ALREADY_EXISTS',
    `Cannot start migration ${record.id}: that id was used for VM ${record.vmName} and node ${record.peerNode}; choose a new id`,
    { metadata: { migrationId: record.id } },
  );
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
