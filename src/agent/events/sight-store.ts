import type { JournalDatabase } from '../journal/journal-database.ts';
import { fromStoredJson, toStoredJson } from '../journal/stored-json.ts';
import type { Mark } from './event-book.ts';
import { lastingPart, type VmSight } from './vm-sight.ts';

/** `sight_json` holds what stored-json.ts makes of a `VmSight`. */
export const CREATE_SIGHT = `
  CREATE TABLE sight (
    vm_uid TEXT PRIMARY KEY,
    sight_json TEXT NOT NULL
  ) STRICT;
`;

const PUT = 'INSERT OR REPLACE INTO sight (vm_uid, sight_json) VALUES ($uid, $json)';
const REMOVE = 'DELETE FROM sight WHERE vm_uid = $uid';

/** How the VMs of this node were last seen. It is written with the events that come of it. */
export class SightStore {
  readonly #database: JournalDatabase;

  constructor(database: JournalDatabase) {
    this.#database = database;
  }

  async list(): Promise<readonly VmSight[]> {
    const rows = await this.#database.all('SELECT sight_json FROM sight');
    return rows.map((row) => fromStoredJson(String(row['sight_json'])) as VmSight);
  }
}

/** So was it seen. */
export function seenMark(sight: VmSight): Mark {
  const { uid } = sight.vm;
  return markOf(uid, { sql: PUT, parameters: { uid, json: toStoredJson(lastingPart(sight)) } });
}

/** It is here no more. */
export function goneMark(uid: string): Mark {
  return markOf(uid, { sql: REMOVE, parameters: { uid } });
}

function markOf(uid: string, statement: Mark['statement']): Mark {
  return { key: `sight/${uid}`, statement };
}
