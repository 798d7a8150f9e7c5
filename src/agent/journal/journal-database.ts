import {
  DatabaseSync,
  type SQLInputValue,
  type SQLOutputValue,
  type StatementSync,
} from 'node:sqlite';
import { AgentError } from '../../core/errors.ts';
import { isLocked, journalError } from './errors.ts';

export type Row = Readonly<Record<string, SQLOutputValue>>;
export type Parameters = Readonly<Record<string, SQLInputValue>>;

// Only people who look into the journal compete with the agent, and only for a moment.
const BUSY_TIMEOUT_MS = 2_000;

/**
 * SQLite as the journal needs it: what a call has written is on the disk when it returns. Calls are synchronous
 * and take about 0.2 ms, so a transaction holds a few statements and nothing else.
 */
export class JournalDatabase implements Disposable {
  readonly #file: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #failure: AgentError | undefined;

  constructor(file: string) {
    this.#file = file;
    this.#database = new DatabaseSync(file, {
      enableForeignKeyConstraints: true,
      timeout: BUSY_TIMEOUT_MS,
    });
    try {
      this.#database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** Why the last write failed; undefined once one has worked again. */
  get failure(): AgentError | undefined {
    return this.#failure;
  }

  /** The file's faults in words; empty when it is sound. Reads the whole file. */
  check(): string {
    const [row] = this.#database.prepare('PRAGMA quick_check(1)').all();
    const result = String(row?.['quick_check'] ?? 'no answer');
    return result === 'ok' ? '' : result;
  }

  /** Brings the schema to the newest version, step by step, each step whole or not at all. */
  migrate(steps: readonly string[]): void {
    const version = Number(this.get('PRAGMA user_version')?.['user_version'] ?? 0);
    if (version > steps.length) {
      throw new AgentError(
        'JOURNAL_FAILURE',
        `The journal ${this.#file} has version ${version}, but this agent knows versions up to ${steps.length}: install the newer agent again, or move the file away`,
        { metadata: { version: String(version) } },
      );
    }
    for (const [index, step] of steps.entries()) {
      if (index < version) continue;
      this.transaction(() => this.#database.exec(`${step}; PRAGMA user_version = ${index + 1}`));
    }
  }

  get(sql: string, parameters: Parameters = {}): Row | undefined {
    return this.#call(() => this.#prepare(sql).get(parameters));
  }

  all(sql: string, parameters: Parameters = {}): readonly Row[] {
    return this.#call(() => this.#prepare(sql).all(parameters));
  }

  /** Changes something and returns how many rows. */
  run(sql: string, parameters: Parameters = {}): number {
    const changes = this.#call(() => Number(this.#prepare(sql).run(parameters).changes));
    this.#failure = undefined;
    return changes;
  }

  /** All of it or nothing; what it threw is thrown again. Do not nest. */
  transaction<T>(work: () => T): T {
    this.#call(() => this.#database.exec('BEGIN IMMEDIATE'));
    try {
      const result = work();
      this.#call(() => this.#database.exec('COMMIT'));
      this.#failure = undefined;
      return result;
    } catch (error) {
      // SQLite has already rolled back after some failures, a full disk among them.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
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
      const failure = journalError(error, this.#file);
      if (!isLocked(error)) this.#failure = failure;
      throw failure;
    }
  }
}
