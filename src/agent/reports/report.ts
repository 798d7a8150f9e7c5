/** Says where a report comes from and how new it is, so that a receiver can refuse older ones. */
export interface ReportOrigin {
  readonly nodeName: string;
  readonly nodeBootId: string;
  /** Raised at every start of the agent. */
  readonly agentEpoch: number;
  /** Counts the changes seen since the agent started. */
  readonly revision: number;
}

/** Counts changes and says where a report comes from. */
export interface Origins {
  current(): ReportOrigin;
  /** Counts one more change and returns its origin. */
  next(): ReportOrigin;
}

/** Where a broken watch goes on. */
export interface WatchCursor {
  readonly agentEpoch: number;
  readonly revision: number;
}

/**
 * One message of a watch. `reset`: all that is there follows as `added`, up to `synced`; what is not among it is gone.
 * `synced`: everything up to the origin's revision has been told. `deleted` also tells of what no longer matches.
 */
export type WatchEvent<T> =
  | {
      readonly type: 'added' | 'modified' | 'deleted';
      readonly object: T;
      readonly origin: ReportOrigin;
    }
  | { readonly type: 'synced' | 'reset'; readonly origin: ReportOrigin };

/** A part of a list. */
export interface PageRequest {
  /** 0 means all. */
  readonly size: number;
  /** `nextToken` of the page before; empty begins anew. */
  readonly token: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Empty on the last page. */
  readonly nextToken: string;
  readonly origin: ReportOrigin;
}

export type ConditionStatus = 'true' | 'false' | 'unknown';

export interface Condition {
  readonly type: string;
  readonly status: ConditionStatus;
  readonly reason: string;
  readonly message: string;
  readonly lastTransitionAtMs: number;
  /** The generation of the spec that it speaks of; undefined where there is none. */
  readonly observedGeneration: number | undefined;
}
