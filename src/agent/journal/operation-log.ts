import type { JournalDatabase, Row } from './journal-database.ts';

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

  constructor(database: JournalDatabase, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /** Beginning the same operation again changes nothing. */
  begin(operation: Pick<OperationRecord, 'id' | 'vmUid' | 'kind'>): void {
    this.#database.run(
      `INSERT INTO operation (id, vm_uid, kind, started_at_ms, error)
        VALUES ($id, $vmUid, $kind, $nowMs, '') ON CONFLICT (id) DO NOTHING`,
      { id: operation.id, vmUid: operation.vmUid, kind: operation.kind, nowMs: this.#now() },
    );
  }

  /** Ends an operation; one that has ended already stays as it is. */
  end(id: string, outcome: OperationOutcome, error = ''): void {
    this.#database.run(
      `UPDATE operation SET ended_at_ms = $nowMs, outcome = $outcome, error = $error
        WHERE id = $id AND ended_at_ms IS NULL`,
      { id, outcome, error, nowMs: this.#now() },
    );
  }

  /** For the start: marks what an earlier agent did not end as interrupted, and returns it. */
  interruptAll(): readonly OperationRecord[] {
    return this.#database.transaction(() => {
      const open = this.#database
        .all('SELECT * FROM operation WHERE ended_at_ms IS NULL ORDER BY started_at_ms, rowid')
        .map(fromRow);
      for (const { id } of open) this.end(id, 'interrupted', 'The agent was restarted');
      return open;
    });
  }

  /** The newest first; of one VM if `vmUid` is given. */
  list(filter: {
    readonly vmUid: string | undefined;
    readonly limit: number;
  }): readonly OperationRecord[] {
    return this.#database
      .all(
        `SELECT * FROM operation WHERE $vmUid IS NULL OR vm_uid = $vmUid
          ORDER BY started_at_ms DESC, rowid DESC LIMIT $limit`,
        { vmUid: filter.vmUid ?? null, limit: filter.limit },
      )
      .map(fromRow);
  }

  /** Forgets the oldest that have ended, all but `keep` of them. */
  prune(keep = 10_000): number {
    return this.#database.run(
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
