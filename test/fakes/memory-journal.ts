import { setImmediate } from 'node:timers/promises';
import { JournalDatabase } from '../../src/agent/journal/journal-database.ts';
import { JournalFile } from '../../src/agent/journal/journal-file.ts';
import type { Parameters, Row } from '../../src/agent/journal/journal-protocol.ts';
import { JOURNAL_SCHEMA } from '../../src/agent/journal-schema.ts';

/** A journal in memory, without a thread of its own. It answers later, as the real one does. */
export class MemoryJournal implements Disposable {
  readonly #file = new JournalFile(':memory:');
  readonly database = new JournalDatabase({
    perform: async (statements) => {
      await setImmediate();
      return this.#file.perform(statements);
    },
  });

  constructor() {
    this.#file.migrate(JOURNAL_SCHEMA);
  }

  /** What is in it now, for whoever looks on. */
  rows(sql: string, parameters: Parameters = {}): readonly Row[] {
    return this.#file.perform([{ sql, parameters }])[0]?.rows ?? [];
  }

  /** All that is in it now. */
  text(): string {
    const tables = this.rows("SELECT name FROM sqlite_schema WHERE type = 'table'");
    return JSON.stringify(
      tables.map((table) => this.rows(`SELECT * FROM ${String(table['name'])}`)),
    );
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}
