import type { JournalDatabase } from '../journal/journal-database.ts';

/** One row. A journal that an agent has used before has told since its first start which VMs are this node's. */
export const CREATE_IDENTIFICATION = `
  CREATE TABLE identification (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    is_complete INTEGER NOT NULL CHECK (is_complete IN (0, 1)),
    accepted_by TEXT
  ) STRICT;
  INSERT INTO identification (id, is_complete) SELECT 1, EXISTS (SELECT 1 FROM agent_start);
`;

export interface IdentificationRecord {
  /** The journal knows the owner of every VM that was here when it was begun, or need not know it any more. */
  readonly isComplete: boolean;
  /** Who has said that the agent shall go on without knowing; undefined if nobody had to. */
  readonly acceptedBy: string | undefined;
}

/** Whether a journal that was begun anew has caught up with what the hypervisor has. */
export class IdentificationStore {
  readonly #database: JournalDatabase;

  constructor(database: JournalDatabase) {
    this.#database = database;
  }

  async get(): Promise<IdentificationRecord> {
    const row = await this.#database.get('SELECT * FROM identification');
    const acceptedBy = row?.['accepted_by'];
    return {
      isComplete: row?.['is_complete'] === 1,
      acceptedBy: typeof acceptedBy === 'string' ? acceptedBy : undefined,
    };
  }

  async put({ isComplete, acceptedBy }: IdentificationRecord): Promise<void> {
    await this.#database.run(
      'UPDATE identification SET is_complete = $isComplete, accepted_by = $acceptedBy',
      { isComplete: isComplete ? 1 : 0, acceptedBy: acceptedBy ?? null },
    );
  }
}
