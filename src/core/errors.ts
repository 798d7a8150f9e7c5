/** What a caller can do about a failure; each kind maps to one gRPC status code. */
export type ErrorKind =
  | 'invalid-argument'
  | 'not-found'
  | 'already-exists'
  | 'permission-denied'
  | 'unauthenticated'
  | 'resource-exhausted'
  | 'failed-precondition'
  | 'aborted'
  | 'unimplemented'
  | 'unavailable'
  | 'deadline-exceeded'
  | 'internal';

/**
 * Every failure the agent reports. The key is the wire `reason` of google.rpc.ErrorInfo: never rename
 * or reuse one. Each has a line in docs/errors.md; a test compares the two.
 */
export const REASONS = {
  INVALID_REQUEST: 'invalid-argument',
  INVALID_SPEC: 'invalid-argument',
  INVALID_CONFIG: 'invalid-argument',
  PERMISSION_DENIED: 'permission-denied',
  UNAUTHENTICATED: 'unauthenticated',

  VM_NOT_FOUND: 'not-found',
  VM_ALREADY_EXISTS: 'already-exists',
  VM_BUSY: 'aborted',
  VM_NOT_RUNNING: 'failed-precondition',
  VM_RUNNING: 'failed-precondition',
  VM_PAUSED: 'failed-precondition',
  VM_NOT_OWNED: 'failed-precondition',
  VM_UID_MISMATCH: 'failed-precondition',
  VM_NOT_ADOPTABLE: 'failed-precondition',
  IMAGE_NOT_FOUND: 'failed-precondition',
  IMAGE_INVALID: 'failed-precondition',
  IMAGE_IN_USE: 'failed-precondition',
  IMAGE_NOT_ALLOWED: 'failed-precondition',
  IMAGE_NOT_READABLE: 'failed-precondition',
  IMAGE_UNREACHABLE: 'unavailable',
  IMAGE_FETCH_FAILED: 'unavailable',
  IMAGE_DIGEST_MISMATCH: 'failed-precondition',
  NETWORK_NOT_FOUND: 'failed-precondition',
  NODE_CAPACITY_EXCEEDED: 'failed-precondition',
  NODE_CORDONED: 'failed-precondition',
  NODE_SHUTTING_DOWN: 'failed-precondition',
  RESERVATION_NOT_FOUND: 'not-found',
  RESERVATION_ALREADY_EXISTS: 'already-exists',
  GENERATION_MISMATCH: 'aborted',
  GUEST_DID_NOT_STOP: 'deadline-exceeded',
  GUEST_DID_NOT_ANSWER: 'deadline-exceeded',
  GUEST_REFUSED: 'failed-precondition',
  LIVE_CHANGE_FAILED: 'failed-precondition',
  GUEST_AGENT_NOT_CONNECTED: 'failed-precondition',
  GUEST_AGENT_TIMEOUT: 'deadline-exceeded',
  GUEST_AGENT_REFUSED: 'failed-precondition',
  GUEST_ANSWER_INVALID: 'failed-precondition',
  GUEST_FROZEN: 'failed-precondition',
  GUEST_COMMAND_TIMED_OUT: 'deadline-exceeded',
  RUN_STRATEGY_HALTED: 'failed-precondition',
  VM_SPEC_NEWER: 'failed-precondition',
  VM_SPEC_DAMAGED: 'failed-precondition',
  VM_DISKS_CHANGED: 'failed-precondition',
  NOT_SUPPORTED: 'unimplemented',
  FEATURE_NOT_SUPPORTED: 'failed-precondition',
  DEVICE_IN_USE: 'failed-precondition',
  CPU_INCOMPATIBLE: 'failed-precondition',
  SECRET_NOT_FOUND: 'failed-precondition',
  HOOK_NOT_ALLOWED: 'failed-precondition',
  HOOK_FAILED: 'failed-precondition',
  CONSOLE_IN_USE: 'failed-precondition',
  CONSOLE_NOT_FOUND: 'failed-precondition',
  DISPLAY_NOT_FOUND: 'failed-precondition',

  MIGRATION_NOT_FOUND: 'not-found',
  MIGRATION_ALREADY_EXISTS: 'already-exists',
  MIGRATION_BLOCKED: 'failed-precondition',
  MIGRATION_PAST_SWITCHOVER: 'failed-precondition',
  MIGRATION_NOT_WAITING: 'failed-precondition',
  MIGRATION_FAILED: 'internal',
  MIGRATION_CANCELLED: 'aborted',
  MIGRATION_TIMEOUT: 'deadline-exceeded',
  OPERATION_NOT_FOUND: 'not-found',
  SERVICE_NOT_FOUND: 'not-found',
  OPERATION_ID_REUSED: 'already-exists',
  OPERATION_CANCELLED: 'aborted',
  OPERATION_SUPERSEDED: 'aborted',

  PEER_UNKNOWN: 'failed-precondition',
  PEER_UNREACHABLE: 'unavailable',
  PEER_INCOMPATIBLE: 'failed-precondition',
  STREAM_FAILED: 'unavailable',

  HYPERVISOR_UNREACHABLE: 'unavailable',
  HYPERVISOR_TIMEOUT: 'unavailable',
  HYPERVISOR_REFUSED: 'failed-precondition',
  HYPERVISOR_FAILURE: 'internal',
  STATE_NOT_READY: 'unavailable',
  STORAGE_FULL: 'resource-exhausted',
  JOURNAL_FAILURE: 'internal',
  SHUTTING_DOWN: 'unavailable',
  WATCH_EXPIRED: 'aborted',

  AGENT_UNREACHABLE: 'unavailable',
  DEADLINE_EXCEEDED: 'deadline-exceeded',
  RESPONSE_TOO_LARGE: 'resource-exhausted',
  ANSWERS_UNREAD: 'resource-exhausted',
  INTERNAL: 'internal',
} as const satisfies Record<string, ErrorKind>;

export type Reason = keyof typeof REASONS;

/** One field of a request that cannot be accepted; `field` is a path such as `spec.template.spec.volumes[1].target`. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

export interface AgentErrorOptions extends ErrorOptions {
  /** Identifiers of what failed, such as `{ vmId }`. Callers read these, so keep them stable. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Set when trying again later may work. */
  readonly retryAfterMs?: number;
  /** Becomes google.rpc.BadRequest or google.rpc.PreconditionFailure. */
  readonly violations?: readonly FieldViolation[];
}

/** The one error class: `reason` is for programs, `message` for people. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
  readonly reason: Reason;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfterMs: number | undefined;
  readonly violations: readonly FieldViolation[];

  constructor(reason: Reason, message: string, options: AgentErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.metadata = options.metadata ?? {};
    this.retryAfterMs = options.retryAfterMs;
    this.violations = options.violations ?? [];
  }

  get kind(): ErrorKind {
    return REASONS[this.reason];
  }
}

export function isReason(value: string): value is Reason {
  return Object.hasOwn(REASONS, value);
}

/** Whether something failed because the hypervisor cannot be asked, which passes by itself. */
export function isHypervisorAway(error: unknown): boolean {
  return hasReason(error, 'HYPERVISOR_UNREACHABLE', 'HYPERVISOR_TIMEOUT');
}

export function hasReason(error: unknown, ...reasons: readonly Reason[]): error is AgentError {
  return error instanceof AgentError && reasons.includes(error.reason);
}
