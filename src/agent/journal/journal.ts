import type { Worker } from 'node:worker_threads';
import type { AgentError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { JournalDatabase } from './journal-database.ts';
import { JournalThread } from './journal-thread.ts';
import { hasEnded, launchJournal } from './launch-journal.ts';

export interface JournalHealth {
  /** `Healthy`; `JournalReplaced`: it was damaged and begun anew; `WriteFailed`: what happens now is not recorded. */
  readonly reason: 'Healthy' | 'JournalReplaced' | 'WriteFailed';
  /** For people; empty when healthy. */
  readonly message: string;
}

export interface JournalOptions {
  readonly logger: Logger;
  /** The schema's steps: step n leads from version n-1 to n. */
  readonly schema: readonly string[];
  /** Where a copy is kept while nothing can be written; its own directory unless given. */
  readonly standInDirectory?: string;
  /** A thread that was launched before for the journal; one is launched if none is given, or that has ended. */
  readonly launched?: Worker | undefined;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Longer than somebody's lock on the file is waited for. */
const SILENCE_MS = 10_000;

/**
 * What the agent must still know after it was killed. Each feature has a store of its own over the database; here are
 * the file, the thread that has it, and how the two are.
 */
export class Journal implements AsyncDisposable {
  readonly database: JournalDatabase;
  readonly #thread: JournalThread;
  readonly #movedTo: string | undefined;
  readonly #version: number;

  private constructor(
    thread: JournalThread,
    movedTo: string | undefined,
    version: number,
    failure: AgentError | undefined,
  ) {
    this.database = new JournalDatabase(thread, failure);
    this.#thread = thread;
    this.#movedTo = movedTo;
    this.#version = version;
  }

  /** Opens the journal of a state directory, for this process alone; see `openJournalFile`. */
  static async open(directory: string, options: JournalOptions): Promise<Journal> {
    const { logger, schema, standInDirectory = directory, now = Date.now } = options;
    const { thread, replaced, failure } = await JournalThread.open(
      { directory, standInDirectory, schema, nowMs: now() },
      options.launched === undefined || hasEnded(options.launched)
        ? launchJournal()
        : options.launched,
    );
    if (failure !== undefined) {
      logger.error(
        { directory, problem: failure.message },
        'Journal cannot be written as it should; going on all the same',
      );
    }
    if (replaced !== undefined) {
      logger.error({ directory, ...replaced }, 'Journal is damaged and begun anew');
    }
    return new Journal(thread, replaced?.movedTo, schema.length, failure);
  }

  /** Aborted when the journal can no longer be used in this process, and what the last calls did is not known. */
  get lost(): AbortSignal {
    return this.#thread.lost;
  }

  /** How many calls have failed so far for the disk's sake, whatever worked since. */
  get failures(): number {
    return this.database.failures;
  }

  /** Why the last of them failed. */
  get lastFailure(): AgentError | undefined {
    return this.database.lastFailure;
  }

  /** Writes what is there already, to find out whether something can be begun. */
  async tryWrite(): Promise<void> {
    const sql = `PRAGMA user_version = ${this.#version}`;
    await this.database.transaction([{ sql }], { begins: true });
  }

  /** How the journal is, from memory. */
  health(): JournalHealth {
    const { failure } = this.database;
    if (failure !== undefined) return { reason: 'WriteFailed', message: failure.message };
    const { waitingSinceMs } = this.#thread;
    if (waitingSinceMs !== undefined && performance.now() - waitingSinceMs > SILENCE_MS) {
      return { reason: 'WriteFailed', message: 'The disk of the journal does not answer' };
    }
    if (this.#movedTo === undefined) return { reason: 'Healthy', message: '' };
    return {
      reason: 'JournalReplaced',
      message: `The journal was damaged and begun anew: the history is lost, the old file is ${this.#movedTo}`,
    };
  }

  /** What was to be written before is written. Closing twice is fine. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#thread[Symbol.asyncDispose]();
  }
}
