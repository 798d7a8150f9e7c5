import { AgentError, isReason } from '../../core/errors.ts';
import type { JournalDatabase } from '../journal/journal-database.ts';
import type { Parameters, Row, Statement } from '../journal/journal-protocol.ts';
import { fromStoredJson, toStoredJson } from '../journal/stored-json.ts';
import type { MigrationRecord, MigrationSummary } from './migration-record.ts';
import { isMigrationPhase } from './states.ts';

/** Times are milliseconds since 1970; `*_json` columns hold what stored-json.ts makes. */
export const CREATE_MIGRATION = `
  CREATE TABLE migration (
    id TEXT PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('source', 'destination')),
    vm_uid TEXT NOT NULL,
    vm_namespace TEXT NOT NULL,
    vm_name TEXT NOT NULL,
    peer_node TEXT NOT NULL,
    peer_address TEXT,
    phase TEXT NOT NULL,
    cancel_requested INTEGER NOT NULL CHECK (cancel_requested IN (0, 1)),
    reason TEXT,
    message TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER,
    transfer_token TEXT NOT NULL,
    ownership_epoch INTEGER NOT NULL,
    spec_json TEXT NOT NULL,
    labels_json TEXT NOT NULL,
    phases_json TEXT NOT NULL,
    progress_json TEXT NOT NULL,
    result_json TEXT NOT NULL,
    definition_json TEXT NOT NULL
  ) STRICT;
  CREATE INDEX migration_by_start ON migration (started_at_ms);
`;

/** Of migrations that are older it is not known. */
export const ADD_RUNNING = `
  ALTER TABLE migration ADD COLUMN running_json TEXT NOT NULL DEFAULT '{"$undefined":true}';
`;

/** Nobody could say so before. */
export const ADD_OTHER_NODE_OFF = `
  ALTER TABLE migration ADD COLUMN other_node_off_json TEXT NOT NULL DEFAULT '{"$undefined":true}';
`;

/** Of earlier ones it is not known when their turn came, so that those that were being prepared wait for it anew. */
export const ADD_TURN = `
  ALTER TABLE migration ADD COLUMN turn_at_ms INTEGER;
`;

/** Only what is copied needs it, and of what was copied before it is not known. */
export const ADD_BLUEPRINT = `
  ALTER TABLE migration ADD COLUMN blueprint TEXT;
`;

/** How much of each is told as events: 0 nothing, 1 that it has begun, 2 its end. Of earlier ones nothing more is told. */
export const ADD_MIGRATION_TOLD = `
  ALTER TABLE migration ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
  UPDATE migration SET told = CASE WHEN ended_at_ms IS NULL THEN 1 ELSE 2 END;
`;

const FIELDS =
  `id role vm_uid vm_namespace vm_name peer_node peer_address phase cancel_requested reason message
  started_at_ms ended_at_ms transfer_token ownership_epoch spec_json labels_json phases_json progress_json result_json
  definition_json running_json other_node_off_json turn_at_ms blueprint`.split(/\s+/);
const SUMMARY_FIELDS = FIELDS.filter((name) => name !== 'definition_json' && name !== 'blueprint');
const INSERT = `INSERT INTO migration (${FIELDS.join(', ')})
  VALUES (${FIELDS.map((name) => `$${name}`).join(', ')}) ON CONFLICT (id) DO NOTHING`;
const UPDATE = `UPDATE migration SET ${FIELDS.map((name) => `${name} = $${name}`).join(', ')}
  WHERE id = $id`;

/** Forgets the oldest that have ended, but none that ownership names: whoever waits for the source's word settles that one. */
const PRUNE = `DELETE FROM migration WHERE id IN (SELECT id FROM migration WHERE ended_at_ms IS NOT NULL
    ORDER BY ended_at_ms DESC, rowid DESC LIMIT -1 OFFSET $keep)
  AND id NOT IN (SELECT unconfirmed_migration FROM ownership WHERE unconfirmed_migration IS NOT NULL)
  RETURNING id`;
/** How many are kept, beside those that are waited for. */
export const KEPT_MIGRATIONS = 1_000;

/** So much of a migration is told as events. One that is not known is fine. */
export function tellMigration(id: string, told: number): Statement {
  return {
    sql: 'UPDATE migration SET told = $told WHERE id = $id AND told < $told',
    parameters: { id, told },
  };
}

/** The migrations of this node, outgoing and incoming, also the latest that have ended. */
export class MigrationStore {
  readonly #database: JournalDatabase;
  readonly #keep: number;

  constructor(database: JournalDatabase, keep = KEPT_MIGRATIONS) {
    this.#database = database;
    this.#keep = keep;
  }

  /** Records a new migration. If the id is known nothing changes, and the record is the one that is there. */
  async insert(
    record: MigrationRecord,
  ): Promise<{ readonly record: MigrationRecord; readonly created: boolean }> {
    const insert = { sql: INSERT, parameters: toRow(record) };
    // One that has ended already is the promise that it will never begin.
    const begins = record.endedAtMs === undefined;
    const [inserted] = await this.#database.transaction([insert], { begins });
    const created = inserted?.changes !== 0;
    return { record: created ? record : await this.get(record.id), created };
  }

  /**
   * Replaces a record, and returns the ids of those that it has made forgotten. Whether a phase may follow another is for
   * the caller to know. Fails as `get` does.
   */
  async update(record: MigrationRecord): Promise<readonly string[]> {
    const update = { sql: UPDATE, parameters: toRow(record) };
    const prune = { sql: PRUNE, parameters: { keep: this.#keep } };
    const ends = record.endedAtMs !== undefined;
    const [updated, pruned] = await this.#database.transaction(ends ? [update, prune] : [update]);
    if (updated?.changes === 0) throw notFound(record.id);
    return pruned?.rows.map(({ id }) => String(id)) ?? [];
  }

  async find(id: string): Promise<MigrationRecord | undefined> {
    const row = await this.#database.get('SELECT * FROM migration WHERE id = $id', { id });
    return row === undefined ? undefined : toRecord(row);
  }

  /** Fails with MIGRATION_NOT_FOUND. */
  async get(id: string): Promise<MigrationRecord> {
    const record = await this.find(id);
    if (record === undefined) throw notFound(id);
    return record;
  }

  /** Those of which not all is told as events, and how much is, the oldest first; all that go on are among them. */
  async listUntold(): Promise<readonly { readonly id: string; readonly told: 0 | 1 }[]> {
    const rows = await this.#database.all(
      'SELECT id, told FROM migration WHERE told < 2 ORDER BY started_at_ms, rowid',
    );
    return rows.map((row) => ({ id: String(row['id']), told: row['told'] === 1 ? 1 : 0 }));
  }

  /** The newest first, without definitions and blueprints: each may have a quarter of a MiB. */
  async list(filter: {
    readonly activeOnly: boolean;
    /** All of them by default. */
    readonly limit?: number;
  }): Promise<readonly MigrationSummary[]> {
    const rows = await this.#database.all(
      `SELECT ${SUMMARY_FIELDS.join(', ')} FROM migration WHERE NOT $activeOnly OR ended_at_ms IS NULL
        ORDER BY started_at_ms DESC, rowid DESC LIMIT $limit`,
      { activeOnly: filter.activeOnly ? 1 : 0, limit: filter.limit ?? -1 },
    );
    return rows.map(toSummary);
  }
}

function notFound(id: string): AgentError {
  return new AgentError('MIGRATION_NOT_FOUND', `There is no migration ${id} on this node`, {
    metadata: { migrationId: id },
  });
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
    labels_json: toStoredJson(record.labels),
    phases_json: toStoredJson(record.phases),
    progress_json: toStoredJson(record.progress),
    result_json: toStoredJson(record.result),
    definition_json: toStoredJson(record.definition),
    running_json: toStoredJson(record.running),
    other_node_off_json: toStoredJson(record.otherNodeOff),
    turn_at_ms: record.turnAtMs ?? null,
    blueprint: record.blueprint ?? null,
  };
}

export function toRecord(row: Row): MigrationRecord {
  const definition = json(row, 'definition_json') as MigrationRecord['definition'];
  const blueprint = row['blueprint'] === null ? undefined : String(row['blueprint']);
  return { ...toSummary(row), definition, blueprint };
}

/** The database's checks and this class being its only writer vouch for what the columns hold. */
function toSummary(row: Row): MigrationSummary {
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
    labels: json(row, 'labels_json') as MigrationRecord['labels'],
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
    running: json(row, 'running_json') as MigrationRecord['running'],
    otherNodeOff: json(row, 'other_node_off_json') as MigrationRecord['otherNodeOff'],
    turnAtMs: row['turn_at_ms'] === null ? undefined : Number(row['turn_at_ms']),
  };
}

function json(row: Row, column: string): unknown {
  return fromStoredJson(String(row[column]));
}
