/** Says where a report comes from and how new it is, so that a receiver can refuse older ones. */
export interface ReportOrigin {
  readonly nodeName: string;
  readonly nodeBootId: string;
  /** Raised by one at every start of the agent. */
  readonly agentEpoch: number;
  /** Counts the changes seen since the agent started. */
  readonly revision: number;
}

/** Where a broken watch goes on. */
export interface WatchCursor {
  readonly agentEpoch: number;
  readonly revision: number;
}

/** One change of a watched object; `synced` says that everything up to `revision` has been sent. */
export type WatchEvent<T> =
  | {
      readonly type: 'added' | 'modified' | 'deleted';
      readonly object: T;
      readonly origin: ReportOrigin;
    }
  | { readonly type: 'synced'; readonly origin: ReportOrigin };

export type ConditionStatus = 'true' | 'false' | 'unknown';

export interface Condition {
  readonly type: string;
  readonly status: ConditionStatus;
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionAtMs: number;
}
