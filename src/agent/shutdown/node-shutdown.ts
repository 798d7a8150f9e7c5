/** How far a VM has come on its way to being off. */
export type GuestState =
  /** It would be asked to power off. */
  | 'planned'
  | 'waiting-for-guest'
  | 'waiting-for-migration'
  | 'cutting-power'
  | 'off'
  | 'power-cut'
  /** It is no more on this node. */
  | 'gone'
  | 'failed';

export interface GuestShutdown {
  readonly vm: { readonly namespace: string; readonly name: string; readonly uid: string };
  readonly state: GuestState;
  /** What is in the way, or will be, in a sentence; empty if nothing is. */
  readonly message: string;
}

/** What becomes of the VMs of a node whose host is about to go down. Times are milliseconds since 1970. */
export interface NodeShutdown {
  readonly requestedBy: string;
  readonly startedAtMs: number;
  /** When the power of those is cut that are still on. */
  readonly deadlineMs: number;
  /** No more becomes of any of them. */
  readonly isDone: boolean;
  /** Those that were on when it began, by namespace and name. */
  readonly guests: readonly GuestShutdown[];
}

export interface ShutdownRequest {
  /** Undefined takes the default, or what was said before. */
  readonly timeoutMs: number | undefined;
  readonly requestedBy: string;
  /** Says what would become of the VMs, and changes nothing. */
  readonly dryRun: boolean;
}

/** Powers off the VMs of this node before its host goes down. */
export interface ShutdownService {
  /**
   * From here on nothing is started on this node until it has booted again or `abort` is called: it lasts longer than the agent.
   * Answers as soon as that is recorded; the node tells how it goes on. Repeating it changes nothing but the deadline.
   */
  shutDown(request: ShutdownRequest, signal: AbortSignal): Promise<NodeShutdown>;
  /** The host stays up: what run strategies say holds again. If there is nothing to call off that is fine too. */
  abort(signal: AbortSignal): Promise<void>;
}

export function isFinal({ state }: Pick<GuestShutdown, 'state'>): boolean {
  return state === 'off' || state === 'power-cut' || state === 'gone' || state === 'failed';
}
