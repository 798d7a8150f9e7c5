import type { JournalDatabase } from '../journal/journal-database.ts';

/** One row, the last shutdown that was begun and not called off. `…_boot_ms` are by the clock of that boot. */
export const CREATE_NODE_SHUTDOWN = `
  CREATE TABLE node_shutdown (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    boot_id TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL,
    began_boot_ms INTEGER NOT NULL,
    deadline_boot_ms INTEGER NOT NULL
  ) STRICT;
`;

export interface ShutdownRecord {
  /** Of the boot that is to end. */
  readonly bootId: string;
  readonly requestedBy: string;
  readonly startedAtMs: number;
  readonly deadlineMs: number;
  /** Since when its time is counted, and until when. */
  readonly beganBootMs: number;
  readonly deadlineBootMs: number;
}

/** That the host is about to go down. */
export class ShutdownStore {
  readonly #database: JournalDatabase;

  constructor(database: JournalDatabase) {
    this.#database = database;
  }

  async find(): Promise<ShutdownRecord | undefined> {
    const row = await this.#database.get('SELECT * FROM node_shutdown');
    if (row === undefined) return undefined;
    return {
      bootId: String(row['boot_id']),
      requestedBy: String(row['requested_by']),
      startedAtMs: Number(row['started_at_ms']),
      deadlineMs: Number(row['deadline_ms']),
      beganBootMs: Number(row['began_boot_ms']),
      deadlineBootMs: Number(row['deadline_boot_ms']),
    };
  }

  async put(record: ShutdownRecord): Promise<void> {
    await this.#database.run(
      `INSERT OR REPLACE INTO node_shutdown
          (id, boot_id, requested_by, started_at_ms, deadline_ms, began_boot_ms, deadline_boot_ms)
        VALUES (1, $bootId, $requestedBy, $startedAtMs, $deadlineMs, $beganBootMs, $deadlineBootMs)`,
      { ...record },
    );
  }

  async remove(): Promise<void> {
    await this.#database.run('DELETE FROM node_shutdown');
  }
}
