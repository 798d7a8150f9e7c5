import type { SQLInputValue, SQLOutputValue } from 'node:sqlite';
import { AgentError, type Reason } from '../../core/errors.ts';

/* agent ⇄ the thread that has the journal. Both ends are of the same version: the agent starts its own thread. */

export type Row = Readonly<Record<string, SQLOutputValue>>;
export type Parameters = Readonly<Record<string, SQLInputValue>>;

export interface Statement {
  readonly sql: string;
  readonly parameters?: Parameters;
}

export interface StatementResult {
  /** Empty for a statement that gives none. */
  readonly rows: readonly Row[];
  /** How many rows it has changed. */
  readonly changes: number;
}

export interface PerformOptions {
  /** Something that can as well be refused, which is why it may not use what a full disk has in reserve. */
  readonly begins?: boolean;
}

export interface JournalSettings {
  readonly directory: string;
  /** Where a copy is kept while nothing can be written there; lost with the boot. */
  readonly standInDirectory: string;
  readonly schema: readonly string[];
  /** The time, for the name of a damaged journal. */
  readonly nowMs: number;
}

export type ToJournalThread =
  /** The first message. */
  | { readonly kind: 'open'; readonly settings: JournalSettings }
  | {
      readonly kind: 'perform';
      readonly id: number;
      readonly statements: readonly Statement[];
      readonly options: PerformOptions;
    }
  | { readonly kind: 'close' };

/** A damaged journal that had to make way for a new one. */
export interface ReplacedJournal {
  readonly movedTo: string;
  readonly damage: string;
}

export type FromJournalThread =
  | {
      readonly kind: 'opened';
      readonly replaced: ReplacedJournal | undefined;
      /** Why nothing can be written yet. */
      readonly failure: JournalFailure | undefined;
    }
  | { readonly kind: 'refused'; readonly failure: JournalFailure }
  | {
      readonly kind: 'results';
      readonly id: number;
      readonly results: readonly StatementResult[];
      /** Why nothing is to be begun. */
      readonly shortage: JournalFailure | undefined;
    }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: JournalFailure };

/** An AgentError as it travels between threads. */
export interface JournalFailure {
  readonly reason: Reason;
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
}

export function toFailure(error: AgentError): JournalFailure {
  const { reason, message, metadata, retryAfterMs } = error;
  return { reason, message, metadata, retryAfterMs };
}

export function fromFailure({ reason, message, metadata, retryAfterMs }: JournalFailure) {
  const options = retryAfterMs === undefined ? { metadata } : { metadata, retryAfterMs };
  return new AgentError(reason, message, options);
}
