import { setImmediate } from 'node:timers/promises';
import { JournalDatabase } from '../../src/agent/journal/journal-database.ts';
import { JournalFile } from '../../src/agent/journal/journal-file.ts';
import type { Parameters, Row } from '../../src/agent/journal/journal-protocol.ts';
import { JOURNAL_SCHEMA } from '../../src/agent/journal-schema.ts';
import { AgentError } from '../../src/core/errors.ts';

/** A journal in memory, without a thread of its own. It answers later, as the real one does. */
export class MemoryJournal implements Disposable {
  readonly #file = new JournalFile(':memory:');
  readonly database = new JournalDatabase({
    perform: async (statements) => {
      await setImmediate();
      if (statements.some(({ sql }) => !sql.trimStart().startsWith('SELECT'))) this.#assertRoom();
      return this.#file.perform(statements);
    },
  });
  /** Commits that there is still room for. */
  #room = Number.POSITIVE_INFINITY;
  #reason: 'STORAGE_FULL' | 'JOURNAL_FAILURE' = 'STORAGE_FULL';
  /** Commits that there was no room for. */
  refused = 0;

  constructor() {
    this.#file.migrate(JOURNAL_SCHEMA);
  }

  /** Its disk is full after so many more commits, until there is room for any number of them again. */
  setRoom(commits: number, reason: 'STORAGE_FULL' | 'JOURNAL_FAILURE' = 'STORAGE_FULL'): void {
    this.#room = commits;
    this.#reason = reason;
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

  #assertRoom(): void {
    if (this.#room > 0) {
      this.#room -= 1;
      return;
    }
    this.refused += 1;
    throw new AgentError(this.#reason, 'Cannot write the journal: the disk is full');
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}
