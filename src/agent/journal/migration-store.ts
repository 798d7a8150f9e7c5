import { AgentError, isReason, type Reason } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { MigrationProgress, MigrationResult, MigrationSpec } from '../migration/migration.ts';
import { isMigrationPhase, type MigrationPhase } from '../migration/states.ts';
import type { JournalDatabase, Parameters, Row } from './journal-database.ts';
import { fromStoredJson, toStoredJson } from './stored-json.ts';

/** One migration as this node takes part in it. */
export interface MigrationRecord {
  readonly id: string;
  readonly role: 'source' | 'destination';
  readonly vmUid: string;
  readonly vmNamespace: string;
  readonly vmName: string;
  /** What was asked for; a destination does not know it. */
  readonly spec: MigrationSpec | undefined;
  readonly peerNode: string;
  readonly peerAddress: string | undefined;
  readonly phase: MigrationPhase;
  readonly cancelRequested: boolean;
  readonly reason: Reason | undefined;
  readonly message: string;
  readonly startedAtMs: number;
  /** Undefined while it is active. */
  readonly endedAtMs: number | undefined;
  readonly phases: readonly { readonly phase: MigrationPhase; readonly startedAtMs: number }[];
  readonly progress: MigrationProgress | undefined;
  readonly result: MigrationResult | undefined;
  /** Secret of the transfer; empty if it has none. Never log it. */
  readonly transferToken: string;
  /** The ownership epoch that the VM gets at the destination. */
  readonly ownershipEpoch: number;
  /** Destination: the VM as it will be here. */
  readonly definition: VmDefinition | undefined;
}

const FIELDS =
  `id role vm_uid vm_namespace vm_name peer_node peer_address phase cancel_requested reason message
  started_at_ms ended_at_ms transfer_token ownership_epoch spec_json phases_json progress_json result_json
  definition_json`.split(/\s+/);
const INSERT = `INSERT INTO migration (${FIELDS.join(', ')})
  VALUES (${FIELDS.map((name) => `$${name}`).join(', ')}) ON CONFLICT (id) DO NOTHING`;
const UPDATE = `UPDATE migration SET ${FIELDS.map((name) => `${name} = $${name}`).join(', ')}
  WHERE id = $id`;

/** The migrations of this node, outgoing and incoming, also those that have ended. */
export class MigrationStore {
  readonly #database: JournalDatabase;

  constructor(database: JournalDatabase) {
    this.#database = database;
  }

  /** Records a new migration. If the id is known nothing changes, and the record is the one that is there. */
  insert(record: MigrationRecord): { readonly record: MigrationRecord; readonly created: boolean } {
    const created = this.#database.run(INSERT, toRow(record)) > 0;
    return { record: created ? record : this.get(record.id), created };
  }

  /** Changes some fields and returns the whole. Whether a phase may follow another is for the caller to know. */
  update(id: string, patch: Partial<Omit<MigrationRecord, 'id'>>): MigrationRecord {
    return this.#database.transaction(() => {
      const record = { ...this.get(id), ...patch, id };
      this.#database.run(UPDATE, toRow(record));
      return record;
    });
  }

  find(id: string): MigrationRecord | undefined {
    const row = this.#database.get('SELECT * FROM migration WHERE id = $id', { id });
    return row === undefined ? undefined : fromRow(row);
  }

  /** Fails with MIGRATION_NOT_FOUND. */
  get(id: string): MigrationRecord {
    const record = this.find(id);
    if (record === undefined) {
      throw new AgentError('MIGRATION_NOT_FOUND', `There is no migration ${id} on this node`, {
        metadata: { migrationId: id },
      });
    }
    return record;
  }

  /** The newest first. */
  list(filter: {
    readonly activeOnly: boolean;
    readonly limit: number;
  }): readonly MigrationRecord[] {
    const rows = this.#database.all(
      `SELECT * FROM migration WHERE NOT $activeOnly OR ended_at_ms IS NULL
        ORDER BY started_at_ms DESC, rowid DESC LIMIT $limit`,
      { activeOnly: filter.activeOnly ? 1 : 0, limit: filter.limit },
    );
    return rows.map(fromRow);
  }

  /** What was going on when the agent last wrote, the oldest first. */
  listActive(role: MigrationRecord['role']): readonly MigrationRecord[] {
    const rows = this.#database.all(
      'SELECT * FROM migration WHERE role = $role AND ended_at_ms IS NULL ORDER BY started_at_ms, rowid',
      { role },
    );
    return rows.map(fromRow);
  }

  /** Forgets the oldest that have ended, all but `keep` of them. */
  prune(keep = 1_000): number {
    return this.#database.run(
      `DELETE FROM migration WHERE id IN (SELECT id FROM migration WHERE ended_at_ms IS NOT NULL
        ORDER BY ended_at_ms DESC, rowid DESC LIMIT -1 OFFSET $keep)`,
      { keep },
    );
  }
}

function toRow(record: MigrationRecord): Parameters {
  return {
    id: record.id,
    role: record.role,
    vm_uid: record.vmUid,
    vm_namespace: record.vmNamespace,
    vm_name: record.vmName,
    peer_node: record.peerNode,
    peer_address: record.peerAddress ?? null,
    phase: record.phase,
    cancel_requested: record.cancelRequested ? 1 : 0,
    reason: record.reason ?? null,
    message: record.message,
    started_at_ms: record.startedAtMs,
    ended_at_ms: record.endedAtMs ?? null,
    transfer_token: record.transferToken,
    ownership_epoch: record.ownershipEpoch,
    spec_json: toStoredJson(record.spec),
    phases_json: toStoredJson(record.phases),
    progress_json: toStoredJson(record.progress),
    result_json: toStoredJson(record.result),
    definition_json: toStoredJson(record.definition),
  };
}

/** The database's checks and this class being its only writer vouch for what the columns hold. */
function fromRow(row: Row): MigrationRecord {
  const phase = String(row['phase']);
  if (!isMigrationPhase(phase)) {
    throw new AgentError(
      'JOURNAL_FAILURE',
      `Migration ${String(row['id'])} has the unknown phase ${phase}`,
    );
  }
  const reason = String(row['reason'] ?? '');
  return {
    id: String(row['id']),
    role: row['role'] === 'source' ? 'source' : 'destination',
    vmUid: String(row['vm_uid']),
    vmNamespace: String(row['vm_namespace']),
    vmName: String(row['vm_name']),
    spec: json(row, 'spec_json') as MigrationRecord['spec'],
    peerNode: String(row['peer_node']),
    peerAddress: row['peer_address'] === null ? undefined : String(row['peer_address']),
    phase,
    cancelRequested: row['cancel_requested'] === 1,
    reason: isReason(reason) ? reason : undefined,
    message: String(row['message']),
    startedAtMs: Number(row['started_at_ms']),
    endedAtMs: row['ended_at_ms'] === null ? undefined : Number(row['ended_at_ms']),
    phases: json(row, 'phases_json') as MigrationRecord['phases'],
    progress: json(row, 'progress_json') as MigrationRecord['progress'],
    result: json(row, 'result_json') as MigrationRecord['result'],
    transferToken: String(row['transfer_token']),
    ownershipEpoch: Number(row['ownership_epoch']),
    definition: json(row, 'definition_json') as MigrationRecord['definition'],
  };
}

function json(row: Row, column: string): unknown {
  return fromStoredJson(String(row[column]));
}
