import type { JournalDatabase } from '../journal/journal-database.ts';
import type { NodeSpec } from './node.ts';

/** One row, the newest. */
export const CREATE_NODE_SPEC = `
  CREATE TABLE node_spec (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    cordon INTEGER NOT NULL CHECK (cordon IN (0, 1)),
    cordon_reason TEXT NOT NULL
  ) STRICT;
`;

export interface NodeSpecRecord {
  readonly spec: NodeSpec;
  readonly generation: number;
}

/** What the node should be. */
export class NodeSpecStore {
  readonly #database: JournalDatabase;

  constructor(database: JournalDatabase) {
    this.#database = database;
  }

  /** Undefined where nobody has ever said anything. */
  async find(): Promise<NodeSpecRecord | undefined> {
    const row = await this.#database.get('SELECT * FROM node_spec');
    if (row === undefined) return undefined;
    return {
      generation: Number(row['generation']),
      spec: { cordon: row['cordon'] === 1, cordonReason: String(row['cordon_reason']) },
    };
  }

  async put({ spec, generation }: NodeSpecRecord): Promise<void> {
    await this.#database.run(
      `INSERT INTO node_spec (id, generation, cordon, cordon_reason)
        VALUES (1, $generation, $cordon, $reason)
        ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, cordon = excluded.cordon,
          cordon_reason = excluded.cordon_reason`,
      { generation, cordon: spec.cordon ? 1 : 0, reason: spec.cordonReason },
    );
  }
}
