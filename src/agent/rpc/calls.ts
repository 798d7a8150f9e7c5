import { auditLog, type Logger } from '../../core/logger.ts';
import type { AdmittedCalls } from './admission.ts';
import { MistakeLog } from './mistake-log.ts';

/** What the adapters of all methods share. */
export class Calls {
  readonly admitted: AdmittedCalls;
  readonly log: Logger;
  readonly audit: Logger;
  readonly mistakes: MistakeLog;
  readonly #running = new Set<Promise<void>>();

  constructor(admitted: AdmittedCalls, log: Logger) {
    this.admitted = admitted;
    this.log = log;
    this.audit = auditLog(log);
    this.mistakes = new MistakeLog(log);
  }

  /** Keeps hold of a call's work until it ends; `work` must not reject. */
  track(work: Promise<void>): void {
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }

  get running(): number {
    return this.#running.size;
  }

  /** Resolves when no call works any more. */
  async idle(): Promise<void> {
    await Promise.all(this.#running);
  }
}
