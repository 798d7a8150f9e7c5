import type { Again } from '../reconcile/controller.ts';
import type { Deed } from './meetings.ts';
import type {
  OperationParameters,
  OperationProgress,
  OperationRecord,
  OperationRequest,
  OperationVm,
} from './operation.ts';

/** What a step of an operation has come to. */
export type StepResult =
  | {
      readonly isDone: true;
      /** In one word, where there is more than one way to succeed. */
      readonly result?: string;
      /** What the caller should know although it has succeeded, in sentences. */
      readonly warnings?: readonly string[];
      /** For the caller that waits; nobody else is told. */
      readonly details?: unknown;
    }
  | {
      readonly isDone: false;
      /** What is waited for, in one word. */
      readonly step: string;
      readonly progress?: OperationProgress;
      /** What the caller should know whatever comes of it, in sentences; kept from here on. Those that are kept already count once. */
      readonly warnings?: readonly string[];
      readonly again: Again;
    };

/** An operation that may begin. */
export interface Admission {
  readonly vm: OperationVm;
  readonly deed: Deed;
  /** There is nothing to do: what came of it. */
  readonly result?: string;
  /** For the caller; nobody else is told. */
  readonly details?: unknown;
}

/** A secret among the parameters of an operation, and where it is in them. */
export interface SecretParameter {
  /** Undefined if there is none, or only its digest. */
  contentOf(parameters: OperationParameters): Uint8Array | undefined;
  /** Parameters as they may be kept. */
  withDigest(parameters: OperationParameters): OperationParameters;
  /** SHA-256 in hex; undefined if there is no secret. */
  digestOf(parameters: OperationParameters): string | undefined;
  /** As they were given. */
  withContent(parameters: OperationParameters, content: Uint8Array): OperationParameters;
}

/** How the operations of one kind are done. */
export interface OperationWork {
  /** Says which VM is meant. Fails if it can be told at once that the operation cannot be done; changes nothing. */
  admit(request: OperationRequest, signal: AbortSignal): Promise<Admission>;
  /** The word for what the first step does. */
  readonly firstStep: string;
  /** The step from which on it is not the agent's, so that who waits for it without naming it is answered. Left out: its end. */
  readonly answersAt?: string;
  /** What of the parameters must not get into the journal, where callers may give such. */
  readonly secret?: SecretParameter;
  /** Whether it is over although that is not recorded yet: it is in nobody's way any more. Costs nothing. */
  isOver?(id: string): boolean;
  /**
   * Takes a step. Has the parameters as they were given. Looks at what is: the agent may have been killed in any step
   * before, this one included, which is then taken again (`startedAtMs` is set then). Aborted when
   * an operation that can be undone is cancelled. `waitedMs` says how long the step that is waited for has been.
   */
  step(operation: OperationRecord, signal: AbortSignal, waitedMs: number): Promise<StepResult>;
  /** Undoes what steps have done, for one that is cancelled. Left out where nothing can be taken back. */
  undo?(operation: OperationRecord, signal: AbortSignal): Promise<void>;
  /** It has ended, however it did: what only it was waiting for is let go. */
  ended?(id: string): void;
}
