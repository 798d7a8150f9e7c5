import { AgentError } from '../../core/errors.ts';
import type {
  Parameters,
  PerformOptions,
  Row,
  Statement,
  StatementResult,
} from './journal-protocol.ts';

/** Carries out statements, all of them or none, in the order of the calls. */
export interface StatementRunner {
  /** Why what begins something is refused, as far as the last call has told; undefined if it is not. */
  readonly shortage?: AgentError | undefined;
  perform(
    statements: readonly Statement[],
    options?: PerformOptions,
  ): Promise<readonly StatementResult[]>;
}

/**
 * The journal as its stores use it. What a call has written is on the disk when its promise resolves; calls are
 * carried out in their order, one after another. They fail with STORAGE_FULL or JOURNAL_FAILURE and have then
 * changed nothing. None has a deadline: whoever stopped waiting would not know what is in the journal.
 */
export class JournalDatabase {
  readonly #runner: StatementRunner;
  #failure: AgentError | undefined;
  #lastFailure: AgentError | undefined;
  #failures = 0;

  /** `failure` says why nothing can be written yet. */
  constructor(runner: StatementRunner, failure?: AgentError) {
    this.#runner = runner;
    this.#failure = failure;
  }

  /** Why the last write failed, or what begins something would; undefined once one has worked again. */
  get failure(): AgentError | undefined {
    return this.#failure;
  }

  /** How many calls have failed so far for the disk's sake, whatever worked since. */
  get failures(): number {
    return this.#failures;
  }

  /** The last of them. */
  get lastFailure(): AgentError | undefined {
    return this.#lastFailure;
  }

  async get(sql: string, parameters?: Parameters): Promise<Row | undefined> {
    const [first] = await this.all(sql, parameters);
    return first;
  }

  async all(sql: string, parameters: Parameters = {}): Promise<readonly Row[]> {
    const [result] = await this.#perform([{ sql, parameters }]);
    return result?.rows ?? [];
  }

  /** Changes something and returns how many rows. */
  async run(sql: string, parameters: Parameters = {}): Promise<number> {
    const [result] = await this.transaction([{ sql, parameters }]);
    return result?.changes ?? 0;
  }

  /** All of the statements or none; returns what came of each. */
  async transaction(
    statements: readonly Statement[],
    options: PerformOptions = {},
  ): Promise<readonly StatementResult[]> {
    const results = await this.#perform(statements, options);
    const { shortage } = this.#runner;
    // What made do with the reserve has met a full disk all the same.
    if (shortage !== undefined && this.#failure === undefined) this.#count(shortage);
    this.#failure = shortage;
    return results;
  }

  async #perform(
    statements: readonly Statement[],
    options: PerformOptions = {},
  ): Promise<readonly StatementResult[]> {
    try {
      return await this.#runner.perform(statements, options);
    } catch (error) {
      // What passes by itself, such as somebody's lock on the file, is no fault of the journal.
      if (error instanceof AgentError && error.retryAfterMs === undefined) {
        this.#failure = error;
        this.#count(error);
      }
      throw error;
    }
  }

  #count(failure: AgentError): void {
    this.#lastFailure = failure;
    this.#failures += 1;
  }
}
