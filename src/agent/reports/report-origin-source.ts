import type { ReportOrigin } from './report.ts';

/** Counts the changes that this agent reports, and says where a report comes from. */
export class ReportOriginSource {
  readonly #fixed: Omit<ReportOrigin, 'revision'>;
  #revision = 0;

  constructor(fixed: Omit<ReportOrigin, 'revision'>) {
    this.#fixed = fixed;
  }

  current(): ReportOrigin {
    return { ...this.#fixed, revision: this.#revision };
  }

  /** Counts one more change and returns its origin. */
  next(): ReportOrigin {
    this.#revision += 1;
    return this.current();
  }
}
