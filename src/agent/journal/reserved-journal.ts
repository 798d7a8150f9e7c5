import type { AgentError } from '../../core/errors.ts';
import { hasReason } from '../../core/errors.ts';
import { journalError } from './errors.ts';
import type { JournalFile } from './journal-file.ts';
import type { PerformOptions, Statement, StatementResult } from './journal-protocol.ts';
import type { Reserve } from './reserve.ts';

/**
 * A journal with a reserve for a full disk: what begins something is refused there, and what goes on or ends is still recorded.
 */
export class ReservedJournal implements Disposable {
  readonly #journal: JournalFile;
  readonly #reserve: Reserve;
  readonly #file: string;
  #shortage: AgentError | undefined;

  /** Owns the journal. */
  constructor(journal: JournalFile, reserve: Reserve, file: string) {
    this.#journal = journal;
    this.#reserve = reserve;
    this.#file = file;
    this.#fillReserve();
  }

  /** Why the reserve is not whole, so that nothing is to be begun; undefined if it is. */
  get shortage(): AgentError | undefined {
    return this.#shortage;
  }

  /** As `JournalFile` does. */
  perform(
    statements: readonly Statement[],
    { begins = false }: PerformOptions = {},
  ): readonly StatementResult[] {
    if (begins) {
      if (this.#shortage !== undefined) this.#fillReserve();
      if (this.#shortage !== undefined) throw this.#shortage;
      this.#assertRoomToBegin();
    }
    try {
      return this.#journal.perform(statements);
    } catch (error) {
      if (!hasReason(error, 'STORAGE_FULL')) throw error;
      if (!begins && this.#reserve.giveUp()) this.#shortage ??= error;
      this.#journal.checkpoint();
      return this.#journal.perform(statements);
    }
  }

  #assertRoomToBegin(): void {
    try {
      this.#reserve.assertRoomToBegin();
    } catch (error) {
      throw journalError(error, this.#file);
    }
  }

  #fillReserve(): void {
    try {
      this.#reserve.makeWhole();
      this.#shortage = undefined;
    } catch (error) {
      this.#shortage = journalError(error, this.#file);
    }
  }

  [Symbol.dispose](): void {
    this.#journal[Symbol.dispose]();
  }
}
