import type { JournalDatabase } from '../journal/journal-database.ts';
import type { Row } from '../journal/journal-protocol.ts';

/** `deadline_boot_ms` is by the clock of that boot of the host. */
export const CREATE_GUEST_FREEZE = `
  CREATE TABLE guest_freeze (
    vm_uid TEXT PRIMARY KEY,
    requested_by TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    deadline_boot_ms INTEGER NOT NULL,
    deadline_ms INTEGER NOT NULL
  ) STRICT;
`;

export interface FreezeRecord {
  readonly vmUid: string;
  readonly requestedBy: string;
  readonly bootId: string;
  readonly deadlineBootMs: number;
  /** Milliseconds since 1970, for people. */
  readonly deadlineMs: number;
}

/** Which guests this node has frozen, or may have. */
export class FreezeStore {
  readonly #database: JournalDatabase;

  constructor(database: JournalDatabase) {
    this.#database = database;
  }

  async put(record: FreezeRecord): Promise<void> {
    await this.#database.run(
      `INSERT OR REPLACE INTO guest_freeze (vm_uid, requested_by, boot_id, deadline_boot_ms, deadline_ms)
        VALUES ($vmUid, $requestedBy, $bootId, $deadlineBootMs, $deadlineMs)`,
      { ...record },
    );
  }

  /** One that is not known counts as removed. */
  async remove(vmUid: string): Promise<void> {
    await this.#database.run('DELETE FROM guest_freeze WHERE vm_uid = $vmUid', { vmUid });
  }

  async list(): Promise<readonly FreezeRecord[]> {
    return (await this.#database.all('SELECT * FROM guest_freeze')).map(fromRow);
  }
}

function fromRow(row: Row): FreezeRecord {
  return {
    vmUid: String(row['vm_uid']),
    requestedBy: String(row['requested_by']),
    bootId: String(row['boot_id']),
    deadlineBootMs: Number(row['deadline_boot_ms']),
    deadlineMs: Number(row['deadline_ms']),
  };
}
