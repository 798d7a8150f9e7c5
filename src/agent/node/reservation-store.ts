import type { JournalDatabase } from '../journal/journal-database.ts';
import type { Row } from '../journal/journal-protocol.ts';
import { fromStoredJson, toStoredJson } from '../journal/stored-json.ts';
import type { Reservation } from './node.ts';

/** Times are milliseconds since 1970. */
export const CREATE_RESERVATION = `
  CREATE TABLE reservation (
    id TEXT PRIMARY KEY,
    vm_json TEXT NOT NULL,
    amounts_json TEXT NOT NULL,
    expires_at_ms INTEGER NOT NULL
  ) STRICT;
`;

/** What is kept free for VMs to come. */
export class ReservationStore {
  readonly #database: JournalDatabase;

  constructor(database: JournalDatabase) {
    this.#database = database;
  }

  /** In place of one of that id whose time is over. */
  async put(reservation: Reservation): Promise<void> {
    await this.#database.run(
      `INSERT OR REPLACE INTO reservation (id, vm_json, amounts_json, expires_at_ms)
        VALUES ($id, $vm, $amounts, $expiresAtMs)`,
      {
        id: reservation.id,
        vm: toStoredJson(reservation.vm),
        amounts: toStoredJson(reservation.amounts),
        expiresAtMs: reservation.expiresAtMs,
      },
    );
  }

  async list(): Promise<readonly Reservation[]> {
    const rows = await this.#database.all('SELECT * FROM reservation ORDER BY id');
    return rows.map(fromRow);
  }

  /** One that is not known counts as removed. */
  async remove(id: string): Promise<void> {
    await this.#database.run('DELETE FROM reservation WHERE id = $id', { id });
  }
}

/** This class being the only writer vouches for what the columns hold. */
function fromRow(row: Row): Reservation {
  return {
    id: String(row['id']),
    vm: fromStoredJson(String(row['vm_json'])) as Reservation['vm'],
    amounts: fromStoredJson(String(row['amounts_json'])) as Reservation['amounts'],
    expiresAtMs: Number(row['expires_at_ms']),
  };
}
