import type { JournalDatabase } from '../journal/journal-database.ts';
import type { Parameters, Row, Statement } from '../journal/journal-protocol.ts';
import { fromStoredJson, toStoredJson } from '../journal/stored-json.ts';
import type {
  OperationError,
  OperationFilter,
  OperationKind,
  OperationParameters,
  OperationRecord,
  OperationState,
} from './operation.ts';

/** The table of the first version, which had neither names nor who asked. */
export const CREATE_OPERATION_HISTORY = `
  CREATE TABLE operation (
    id TEXT PRIMARY KEY,
    vm_uid TEXT NOT NULL,
    kind TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER,
    outcome TEXT,
    error TEXT NOT NULL,
    CHECK ((ended_at_ms IS NULL) = (outcome IS NULL))
  ) STRICT;
  CREATE INDEX operation_by_start ON operation (started_at_ms);
  CREATE INDEX operation_by_vm ON operation (vm_uid, started_at_ms);
`;

/** Times are milliseconds since 1970; `*_json` columns hold what stored-json.ts makes. */
export const CREATE_OPERATION = `
  ALTER TABLE operation RENAME TO operation_1;
  DROP INDEX operation_by_start;
  DROP INDEX operation_by_vm;
  CREATE TABLE operation (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    vm_uid TEXT NOT NULL,
    vm_namespace TEXT NOT NULL,
    vm_name TEXT NOT NULL,
    parameters_json TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    requested_at_ms INTEGER NOT NULL,
    started_at_ms INTEGER,
    ended_at_ms INTEGER,
    state TEXT NOT NULL,
    step TEXT NOT NULL,
    result TEXT NOT NULL,
    warnings_json TEXT NOT NULL,
    error_json TEXT NOT NULL,
    superseded_by TEXT NOT NULL
  ) STRICT;
  CREATE INDEX operation_by_request ON operation (requested_at_ms, id);
  CREATE INDEX operation_by_vm ON operation (vm_uid, requested_at_ms);
  CREATE INDEX operation_by_end ON operation (ended_at_ms);
  INSERT INTO operation
    SELECT id, kind, vm_uid, '', '', '{}', 'unknown', started_at_ms, started_at_ms,
      coalesce(ended_at_ms, started_at_ms),
      CASE outcome WHEN 'succeeded' THEN 'succeeded' ELSE 'failed' END, '', '', '[]',
      CASE outcome WHEN 'succeeded' THEN '{"$undefined":true}' ELSE
        '{"reason":"INTERNAL","message":"An earlier version has not kept why","metadata":{},"violations":[]}' END, ''
    FROM operation_1 WHERE kind IN ('create', 'apply', 'start', 'shutdown', 'destroy', 'delete');
  DROP TABLE operation_1;
`;

/**
 * How much of each is told as events: 0 nothing, 1 that it was asked for, 2 its end. Of those that were recorded before nothing
 * more is told.
 */
export const ADD_OPERATION_TOLD = `
  ALTER TABLE operation ADD COLUMN told INTEGER NOT NULL DEFAULT 0;
  UPDATE operation SET told = CASE WHEN ended_at_ms IS NULL THEN 1 ELSE 2 END;
  CREATE INDEX operation_untold ON operation (told) WHERE told < 2;
`;

const FIELDS =
  `id kind vm_uid vm_namespace vm_name parameters_json requested_by requested_at_ms started_at_ms ended_at_ms state step
  result warnings_json error_json superseded_by`.split(/\s+/);
const INSERT = `INSERT INTO operation (${FIELDS.join(', ')})
  VALUES (${FIELDS.map((name) => `$${name}`).join(', ')}) ON CONFLICT (id) DO NOTHING`;
const UPDATE = `UPDATE operation SET ${FIELDS.map((name) => `${name} = $${name}`).join(', ')} WHERE id = $id`;
const FIND = 'SELECT * FROM operation WHERE id = $id';

/** Those that need more room than their own record, and are refused on a full disk. */
const GROWING: readonly OperationKind[] = ['create', 'apply', 'insert', 'migrate'];

/** How many that have ended are kept at least, and for how long at least. */
const KEPT = 10_000;
const KEPT_MS = 7 * 24 * 3_600_000;

/** So much of an operation is told as events. One that is not known is fine. */
export function tellOperation(id: string, told: number): Statement {
  return {
    sql: 'UPDATE operation SET told = $told WHERE id = $id AND told < $told',
    parameters: { id, told },
  };
}

/** A part of a list. */
export interface OperationPage {
  readonly records: readonly OperationRecord[];
  /** Where the next page begins; undefined on the last one. */
  readonly next: number | undefined;
}

/** The operations of this node, those that have ended as well: the last 10,000 or of 7 days, whichever is more. */
export class OperationStore {
  readonly #database: JournalDatabase;

  constructor(database: JournalDatabase) {
    this.#database = database;
  }

  /** Records a new one, and how it changes others. Nothing changes if its id is known: then the known one is returned. */
  async insert(
    record: OperationRecord,
    others: readonly OperationRecord[] = [],
  ): Promise<OperationRecord | undefined> {
    const [inserted] = await this.#database.transaction(
      [
        { sql: INSERT, parameters: toRow(record) },
        // Each only if the statement before it has changed something, the first of which is the new one.
        ...others.map((other) => ({
          sql: `${UPDATE} AND changes() > 0`,
          parameters: toRow(other),
        })),
      ],
      { begins: GROWING.includes(record.kind) },
    );
    return inserted?.changes === 0 ? await this.find(record.id) : undefined;
  }

  async update(record: OperationRecord): Promise<void> {
    await this.#database.run(UPDATE, toRow(record));
  }

  async find(id: string): Promise<OperationRecord | undefined> {
    const row = await this.#database.get(FIND, { id });
    return row && fromRow(row);
  }

  /** Those that have not ended, in the order in which they were recorded. */
  async listOpen(): Promise<readonly OperationRecord[]> {
    const rows = await this.#database.all(
      'SELECT * FROM operation WHERE ended_at_ms IS NULL ORDER BY rowid',
    );
    return rows.map(fromRow);
  }

  /** The last operations of VMs, where these are creations, or may be, that have failed or were cancelled; the oldest first. */
  async listGivenUpCreations(limit: number): Promise<readonly OperationRecord[]> {
    const rows = await this.#database.all(
      `SELECT * FROM operation AS one
        WHERE kind IN ('create', 'apply') AND state IN ('failed', 'cancelled') AND NOT EXISTS
          (SELECT 1 FROM operation AS other WHERE other.vm_uid = one.vm_uid AND other.rowid > one.rowid
            AND NOT (other.kind IN ('create', 'apply') AND other.ended_at_ms IS NULL))
        ORDER BY rowid DESC LIMIT $limit`,
      { limit },
    );
    return rows.map(fromRow).toReversed();
  }

  /** Of each VM that was not deleted the last of these kinds that have ended, in the order in which they were recorded. */
  listLastEnded(kinds: readonly OperationKind[]): Promise<readonly OperationRecord[]> {
    return this.#listLast('ended_at_ms IS NOT NULL', kinds);
  }

  /** The same of those that have succeeded. */
  listLastSucceeded(kinds: readonly OperationKind[]): Promise<readonly OperationRecord[]> {
    return this.#listLast("state = 'succeeded'", kinds);
  }

  async #listLast(
    condition: string,
    kinds: readonly OperationKind[],
  ): Promise<readonly OperationRecord[]> {
    // SQLite takes the other columns from the row that has the maximum: the one that was recorded last.
    const rows = await this.#database.all(
      `SELECT *, max(rowid) AS place FROM operation AS one
        WHERE ${condition} AND kind IN (SELECT value FROM json_each($kinds))
          AND NOT EXISTS (SELECT 1 FROM operation AS other
            WHERE other.vm_uid = one.vm_uid AND other.kind = 'delete' AND other.state = 'succeeded')
        GROUP BY vm_uid, kind ORDER BY place`,
      { kinds: JSON.stringify(kinds) },
    );
    return rows.map(fromRow);
  }

  /** Those of which not all is told as events, and how much is, in the order in which they were recorded; all that go on are among them. */
  async listUntold(): Promise<
    readonly { readonly record: OperationRecord; readonly told: 0 | 1 }[]
  > {
    const rows = await this.#database.all('SELECT * FROM operation WHERE told < 2 ORDER BY rowid');
    return rows.map((row) => ({ record: fromRow(row), told: row['told'] === 1 ? 1 : 0 }));
  }

  /**
   * The newest first, from `next` of the page before on. What is newer is what was recorded later, by SQLite's own numbers
   * of the rows: a clock may be put back.
   */
  async list(
    filter: OperationFilter,
    page: { readonly after: number | undefined; readonly limit: number },
  ): Promise<OperationPage> {
    const { vmUid, vmName, namespace, activeOnly } = filter;
    const { after, limit } = page;
    const rows = await this.#database.all(
      `SELECT rowid AS place, * FROM operation WHERE ($vmUid IS NULL OR vm_uid = $vmUid)
        AND ($namespace IS NULL OR vm_namespace = $namespace)
        AND ($name IS NULL OR vm_name = $name)
        AND ($activeOnly = 0 OR ended_at_ms IS NULL)
        AND ($after IS NULL OR rowid < $after)
        ORDER BY rowid DESC LIMIT $limit + 1`,
      {
        vmUid: vmUid ?? null,
        namespace: vmName?.namespace ?? namespace ?? null,
        name: vmName?.name ?? null,
        activeOnly: activeOnly ? 1 : 0,
        after: after ?? null,
        limit,
      },
    );
    const last = rows.length > limit ? rows[limit - 1] : undefined;
    const next = last === undefined ? undefined : Number(last['place']);
    return { records: rows.slice(0, limit).map(fromRow), next };
  }

  /**
   * Forgets from the beginning of the history on, up to the first that has ended lately: what ended while the clock was put
   * back seems older than it is.
   */
  async prune(nowMs: number, keep = KEPT, keepMs = KEPT_MS): Promise<number> {
    const prune: Statement = {
      sql: `DELETE FROM operation WHERE ended_at_ms < $beforeMs
        AND rowid < (SELECT ifnull(min(rowid), 9e18) FROM operation
          WHERE ended_at_ms BETWEEN $beforeMs AND $nowMs)
        AND rowid NOT IN (SELECT rowid FROM operation
          WHERE ended_at_ms IS NOT NULL ORDER BY rowid DESC LIMIT $keep)`,
      parameters: { beforeMs: nowMs - keepMs, nowMs, keep },
    };
    const [result] = await this.#database.transaction([prune]);
    return result?.changes ?? 0;
  }
}

function toRow(record: OperationRecord): Parameters {
  return {
    id: record.id,
    kind: record.kind,
    vm_uid: record.vm.uid,
    vm_namespace: record.vm.namespace,
    vm_name: record.vm.name,
    parameters_json: toStoredJson(record.parameters),
    requested_by: record.requestedBy,
    requested_at_ms: record.requestedAtMs,
    started_at_ms: record.startedAtMs ?? null,
    ended_at_ms: record.endedAtMs ?? null,
    state: record.state,
    step: record.step,
    result: record.result,
    warnings_json: toStoredJson(record.warnings),
    error_json: toStoredJson(record.error),
    superseded_by: record.supersededBy,
  };
}

function fromRow(row: Row): OperationRecord {
  const number = (name: string): number | undefined =>
    row[name] === null ? undefined : Number(row[name]);
  return {
    id: String(row['id']),
    kind: String(row['kind']) as OperationKind,
    vm: {
      namespace: String(row['vm_namespace']),
      name: String(row['vm_name']),
      uid: String(row['vm_uid']),
    },
    parameters: fromStoredJson(String(row['parameters_json'])) as OperationParameters,
    requestedBy: String(row['requested_by']),
    requestedAtMs: Number(row['requested_at_ms']),
    startedAtMs: number('started_at_ms'),
    endedAtMs: number('ended_at_ms'),
    state: String(row['state']) as OperationState,
    step: String(row['step']),
    result: String(row['result']),
    warnings: fromStoredJson(String(row['warnings_json'])) as readonly string[],
    error: fromStoredJson(String(row['error_json'])) as OperationError | undefined,
    supersededBy: String(row['superseded_by']),
  };
}
