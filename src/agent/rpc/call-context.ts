import type { Deadline, Metadata } from '@grpc/grpc-js';
import type { LogFields } from '../../core/logger.ts';
import type { AdmittedCall } from './admission.ts';
import type { Caller } from './identity.ts';

/** What a handler knows about its call. */
export interface CallContext {
  readonly caller: Caller;
  readonly requestId: string;
  /** Aborted when the caller cancels, hangs up or has waited long enough. */
  readonly signal: AbortSignal;
  /** Names the object that the call is about, for the log. */
  about(fields: LogFields): void;
}

/** The part of the gRPC library's call objects that has to do with their ending. */
export interface EndableCall {
  readonly metadata: Metadata;
  readonly cancelled: boolean;
  getDeadline(): Deadline;
  on(event: 'cancelled', listener: () => void): unknown;
  off(event: 'cancelled', listener: () => void): unknown;
}

/** One call in progress. Dispose of it when it is answered. */
export class OpenCall implements CallContext, Disposable {
  readonly caller: Caller;
  readonly requestId: string;
  readonly startedAt = performance.now();
  subject: LogFields = {};
  /** It stands in the audit log already. */
  isAudited = false;
  readonly #call: EndableCall;
  readonly #abort = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;

  /** Without a deadline of the caller's, the call has `defaultTimeoutMs`; undefined is unlimited. */
  constructor(call: EndableCall, admitted: AdmittedCall, defaultTimeoutMs: number | undefined) {
    this.caller = admitted.caller;
    this.requestId = admitted.requestId;
    this.#call = call;
    call.on('cancelled', this.#onCancelled);
    if (call.cancelled) this.#onCancelled();
    if (defaultTimeoutMs !== undefined && Number(call.getDeadline()) === Number.POSITIVE_INFINITY) {
      this.#timer = setTimeout(this.#onTimeout, defaultTimeoutMs);
    }
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get durationMs(): number {
    return Math.round(performance.now() - this.startedAt);
  }

  about(fields: LogFields): void {
    this.subject = { ...this.subject, ...fields };
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#call.off('cancelled', this.#onCancelled);
  }

  readonly #onTimeout = (): void => {
    this.#abort.abort(new DOMException('The deadline of the call has passed', 'TimeoutError'));
  };

  // The gRPC library says "cancelled" for a passed deadline too.
  readonly #onCancelled = (): void => {
    if (Date.now() >= Number(this.#call.getDeadline())) this.#onTimeout();
    else this.#abort.abort(new DOMException('The caller has cancelled the call', 'AbortError'));
  };
}
