import type { JournalDatabase } from '../journal/journal-database.ts';
import type { Row } from '../journal/journal-protocol.ts';
import { isRunEndCause } from './run-ends.ts';
import type { RunEnd, RunRecord } from './run-record.ts';

/** Times are milliseconds since 1970; `end_cause` is one of `RUN_ENDS`. */
export const CREATE_RUN = `
  CREATE TABLE run (
    vm_uid TEXT PRIMARY KEY,
    boot_id TEXT NOT NULL,
    is_on INTEGER NOT NULL CHECK (is_on IN (0, 1)),
    since_ms INTEGER NOT NULL,
    end_cause TEXT,
    end_by TEXT NOT NULL,
    end_at_ms INTEGER NOT NULL,
    CHECK (is_on = 1 OR end_cause IS NOT NULL)
  ) STRICT;
`;

const PUT = `INSERT OR REPLACE INTO run (vm_uid, boot_id, is_on, since_ms, end_cause, end_by, end_at_ms)
  VALUES ($uid, $bootId, $isOn, $sinceMs, $cause, $by, $atMs)`;

/** How the VMs of this node have run, for agents to come. */
export class RunStore {
  readonly #database: JournalDatabase;

  constructor(database: JournalDatabase) {
    this.#database = database;
  }

  async put({ uid, bootId, isOn, sinceMs, end }: RunRecord): Promise<void> {
    const { cause = null, by = '', atMs = 0 } = end ?? {};
    await this.#database.run(PUT, {
      uid,
      bootId,
      isOn: isOn ? 1 : 0,
      sinceMs,
      cause,
      by,
      atMs,
    });
  }

  /** One that is not known counts as removed. */
  async remove(uid: string): Promise<void> {
    await this.#database.run('DELETE FROM run WHERE vm_uid = $uid', { uid });
  }

  async list(): Promise<readonly RunRecord[]> {
    return (await this.#database.all('SELECT * FROM run')).map(fromRow);
  }
}

function fromRow(row: Row): RunRecord {
  return {
    uid: String(row['vm_uid']),
    bootId: String(row['boot_id']),
    isOn: row['is_on'] === 1,
    sinceMs: Number(row['since_ms']),
    end: endOf(row),
  };
}

function endOf(row: Row): RunEnd | undefined {
  if (row['end_cause'] === null) return undefined;
  const cause = String(row['end_cause']);
  return {
    // A later version may have known more causes.
    cause: isRunEndCause(cause) ? cause : 'no-record',
    by: String(row['end_by']),
    atMs: Number(row['end_at_ms']),
  };
}
