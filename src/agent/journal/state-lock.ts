import { DatabaseSync } from 'node:sqlite';
import { AgentError } from '../../core/errors.ts';
import { isLocked, journalError } from './errors.ts';

/**
 * Makes one agent the only user of a state directory. The lock is SQLite's lock on an empty file, that is a
 * POSIX record lock: the kernel drops it when the process dies, however it dies, so that it is never stale.
 * It is apart from the journal so that the journal may be read with `sqlite3`, and be replaced when damaged.
 */
export class StateLock implements Disposable {
  readonly #database: DatabaseSync;

  /** Fails with JOURNAL_FAILURE while another process, or this one, has the lock. */
  constructor(file: string) {
    this.#database = new DatabaseSync(file);
    try {
      this.#database.exec('BEGIN EXCLUSIVE');
    } catch (error) {
      this.#database.close();
      if (!isLocked(error)) throw journalError(error, file);
      throw new AgentError(
        'JOURNAL_FAILURE',
        `Another agent uses this state directory: ${file} is locked`,
        { metadata: { file } },
      );
    }
  }

  [Symbol.dispose](): void {
    if (this.#database.isOpen) this.#database.close();
  }
}
