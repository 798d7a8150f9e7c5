import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { AgentError } from '../../core/errors.ts';
import { journalError } from './errors.ts';
import type { Statement, StatementResult } from './journal-protocol.ts';

// Only people who look into the journal compete with the agent, and only for a moment.
const BUSY_TIMEOUT_MS = 5_000;

/**
 * SQLite as the journal needs it: what a call has written is on the disk when it returns. Calls block for as long
 * as the disk, or somebody who has locked the file, makes them wait.
 */
export class JournalFile implements Disposable {
  readonly #file: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(file: string) {
    this.#file = file;
    this.#database = new DatabaseSync(file, {
      enableForeignKeyConstraints: true,
      timeout: BUSY_TIMEOUT_MS,
    });
    try {
      // What a migration keeps of a VM while it goes on may have a password in it.
      this.#database.exec(
        'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON',
      );
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** The file's faults in words; empty when it is sound. Reads the whole file. */
  check(): string {
    const [row] = this.#database.prepare('PRAGMA quick_check(1)').all();
    const result = String(row?.['quick_check'] ?? 'no answer');
    return result === 'ok' ? '' : result;
  }

  /** Brings the schema to the newest version, step by step, each step whole or not at all. */
  migrate(steps: readonly string[]): void {
    const [known] = this.perform([{ sql: 'PRAGMA user_version' }]);
    const version = Number(known?.rows[0]?.['user_version'] ?? 0);
    if (version > steps.length) {
      throw new AgentError(
        'JOURNAL_FAILURE',
        `The journal ${this.#file} has version ${version}, but this agent knows versions up to ${steps.length}, as a newer agent has written it: install that agent again (VMs run on meanwhile), and leave the file where it is, as it says which VMs this node owns`,
        { metadata: { version: String(version) } },
      );
    }
    for (const [index, step] of steps.entries()) {
      if (index < version) continue;
      this.#transaction(() => this.#database.exec(`${step}; PRAGMA user_version = ${index + 1}`));
    }
  }

  /** Carries out all of the statements or none. Fails with STORAGE_FULL or JOURNAL_FAILURE. */
  perform(statements: readonly Statement[]): readonly StatementResult[] {
    const work = () => statements.map((statement) => this.#execute(statement));
    return statements.length === 1 ? this.#call(work) : this.#transaction(work);
  }

  /** Writes to the file what is only in the log beside it, as far as that can be done, so that the log's room is used again. */
  checkpoint(): void {
    try {
      this.#database.exec('PRAGMA wal_checkpoint(PASSIVE)');
    } catch {
      // It is tried for the sake of the next write, which fails then, and says why.
    }
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }

  #transaction<T>(work: () => T): T {
    return this.#call(() => {
      this.#database.exec('BEGIN IMMEDIATE');
      try {
        const result = work();
        this.#database.exec('COMMIT');
        return result;
      } catch (error) {
        // SQLite has already rolled back after some failures, a full disk among them.
        if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
        throw error;
      }
    });
  }

  #execute({ sql, parameters = {} }: Statement): StatementResult {
    const statement = this.#prepare(sql);
    if (statement.columns().length > 0) return { rows: statement.all(parameters), changes: 0 };
    return { rows: [], changes: Number(statement.run(parameters).changes) };
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  #call<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw journalError(error, this.#file);
    }
  }
}
