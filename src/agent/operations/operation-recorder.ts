import { randomUUID } from 'node:crypto';
import { AgentError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { OperationLog } from './operation-log.ts';

/** An operation whose beginning is recorded. */
export interface RecordedOperation {
  /** Settles as the work does, once it is recorded how that has ended. */
  settle<T>(work: Promise<T>): Promise<T>;
}

/** Keeps a history of what was done to VMs. Requests that were refused before anything was done are no part of it. */
export class OperationRecorder {
  readonly #operations: Pick<OperationLog, 'begin' | 'end'>;
  readonly #log: Logger;

  constructor(operations: Pick<OperationLog, 'begin' | 'end'>, log: Logger) {
    this.#operations = operations;
    this.#log = log;
  }

  /**
   * Records that an operation begins. The history is for people, so a journal that cannot be written holds nothing
   * up.
   */
  async begin(kind: string, vmUid: string): Promise<RecordedOperation> {
    const id = randomUUID();
    await this.#write(() => this.#operations.begin({ id, vmUid, kind }));
    return { settle: (work) => this.#settle(id, work) };
  }

  async #settle<T>(id: string, work: Promise<T>): Promise<T> {
    try {
      const result = await work;
      await this.#write(() => this.#operations.end(id, 'succeeded'));
      return result;
    } catch (error) {
      const reason = error instanceof AgentError ? error.reason : String(error);
      await this.#write(() => this.#operations.end(id, 'failed', reason));
      throw error;
    }
  }

  async #write(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#log.warn({ err: error }, 'Cannot record an operation');
    }
  }
}
