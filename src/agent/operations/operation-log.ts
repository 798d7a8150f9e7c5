import type { JournalDatabase } from '../journal/journal-database.ts';
import type { Row } from '../journal/journal-protocol.ts';

/** Times are milliseconds since 1970. */
export const CREATE_OPERATION = `
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

export type OperationOutcome = 'succeeded' | 'failed' | 'interrupted';

/** Something that was done to a VM. */
export interface OperationRecord {
  readonly id: string;
  readonly vmUid: string;
  /** What was done, such as `start` or `destroy`. */
  readonly kind: string;
  readonly startedAtMs: number;
  /** Undefined while it goes on. */
  readonly endedAtMs: number | undefined;
  readonly outcome: OperationOutcome | undefined;
  /** Why it failed; empty otherwise. */
  readonly error: string;
}

/** What was done to VMs lately, and what was being done when the agent was killed. */
export class OperationLog {
  readonly #database: JournalDatabase;
  readonly #now: () => number;

  constructor(database: JournalDatabase, now: () => number = Date.now) {
    this.#database = database;
    this.#now = now;
  }

  /** Beginning the same operation again changes nothing. */
  async begin(operation: Pick<OperationRecord, 'id' | 'vmUid' | 'kind'>): Promise<void> {
    await this.#database.run(
      `INSERT INTO operation (id, vm_uid, kind, started_at_ms, error)
        VALUES ($id, $vmUid, $kind, $nowMs, '') ON CONFLICT (id) DO NOTHING`,
      { id: operation.id, vmUid: operation.vmUid, kind: operation.kind, nowMs: this.#now() },
    );
  }

  /** Ends an operation; one that has ended already stays as it is. */
  async end(id: string, outcome: OperationOutcome, error = ''): Promise<void> {
    await this.#database.run(
      `UPDATE operation SET ended_at_ms = $nowMs, outcome = $outcome, error = $error
        WHERE id = $id AND ended_at_ms IS NULL`,
      { id, outcome, error, nowMs: this.#now() },
    );
  }

  /** For the start: marks what an earlier agent did not end as interrupted, and returns it. */
  async interruptAll(): Promise<readonly OperationRecord[]> {
    const [open] = await this.#database.transaction([
      { sql: 'SELECT * FROM operation WHERE ended_at_ms IS NULL ORDER BY started_at_ms, rowid' },
      {
        sql: `UPDATE operation SET ended_at_ms = $nowMs, outcome = 'interrupted',
          error = 'The agent was restarted' WHERE ended_at_ms IS NULL`,
        parameters: { nowMs: this.#now() },
      },
    ]);
    return (open?.rows ?? []).map(fromRow);
  }

  /** The newest first; of one VM if `vmUid` is given. */
  async list(filter: {
    readonly vmUid: string | undefined;
    readonly limit: number;
  }): Promise<readonly OperationRecord[]> {
    const rows = await this.#database.all(
      `SELECT * FROM operation WHERE $vmUid IS NULL OR vm_uid = $vmUid
        ORDER BY started_at_ms DESC, rowid DESC LIMIT $limit`,
      { vmUid: filter.vmUid ?? null, limit: filter.limit },
    );
    return rows.map(fromRow);
  }

  /** Forgets the oldest that have ended, all but `keep` of them. */
  async prune(keep = 10_000): Promise<number> {
    return await this.#database.run(
      `DELETE FROM operation WHERE id IN (SELECT id FROM operation WHERE ended_at_ms IS NOT NULL
        ORDER BY ended_at_ms DESC, rowid DESC LIMIT -1 OFFSET $keep)`,
      { keep },
    );
  }
}

function fromRow(row: Row): OperationRecord {
  return {
    id: String(row['id']),
    vmUid: String(row['vm_uid']),
    kind: String(row['kind']),
    startedAtMs: Number(row['started_at_ms']),
    endedAtMs: row['ended_at_ms'] === null ? undefined : Number(row['ended_at_ms']),
    outcome: row['outcome'] === null ? undefined : (String(row['outcome']) as OperationOutcome),
    error: String(row['error']),
  };
}
