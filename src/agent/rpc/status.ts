import { status as Code, Metadata } from '@grpc/grpc-js';
import { toDuration } from '../../client/time.ts';
import { AgentError, type ErrorKind, type FieldViolation, type Reason } from '../../core/errors.ts';
import { Any } from '../../gen/google/protobuf/any.ts';
import {
  BadRequest,
  ErrorInfo,
  PreconditionFailure,
  RetryInfo,
} from '../../gen/google/rpc/error_details.ts';
import { Status } from '../../gen/google/rpc/status.ts';

/** Defines the reasons in google.rpc.ErrorInfo. */
const ERROR_DOMAIN = 'agent.novacron.io';

/** Reasons that only the edge gives; with REASONS they are all that a caller can meet. */
export const EDGE_REASONS = ['CANCELLED'] as const;
type EdgeReason = (typeof EDGE_REASONS)[number];

const CODE_BY_KIND = {
  'invalid-argument': Code.INVALID_ARGUMENT,
  'not-found': Code.NOT_FOUND,
  'already-exists': Code.ALREADY_EXISTS,
  'permission-denied': Code.PERMISSION_DENIED,
  unauthenticated: Code.UNAUTHENTICATED,
  'resource-exhausted': Code.RESOURCE_EXHAUSTED,
  'failed-precondition': Code.FAILED_PRECONDITION,
  aborted: Code.ABORTED,
  unimplemented: Code.UNIMPLEMENTED,
  unavailable: Code.UNAVAILABLE,
  'deadline-exceeded': Code.DEADLINE_EXCEEDED,
  internal: Code.INTERNAL,
} as const satisfies Record<ErrorKind, Code>;

// Message and details travel as headers, of which gRPC in other languages accepts 8 KiB in all.
const MAX_MESSAGE_BYTES = 1_500;
const MAX_STATUS_BYTES = 4_000;
const MAX_DETAIL_LENGTH = 128;
const MAX_METADATA_ENTRIES = 8;

/** What is given to the gRPC library; never an Error, whose `code` it would take for its own. */
export interface RpcStatus {
  readonly code: Code;
  readonly details: string;
  readonly metadata: Metadata;
  readonly reason: Reason | EdgeReason;
}

/**
 * The only place where an error becomes a gRPC status. `signal` is the call's: what it was aborted with is a
 * cancellation or a deadline, and not a failure of the agent.
 */
export function toStatus(error: unknown, signal: AbortSignal, requestId: string): RpcStatus {
  if (error instanceof AgentError) {
    const { reason, message, metadata } = error;
    return build(CODE_BY_KIND[error.kind], reason, message, metadata, error);
  }
  if (signal.aborted && isAbort(error, signal)) {
    return isTimeout(signal.reason)
      ? build(Code.DEADLINE_EXCEEDED, 'DEADLINE_EXCEEDED', 'The deadline of the call has passed')
      : build(Code.CANCELLED, 'CANCELLED', 'The caller has cancelled the call');
  }
  const message = `Internal error; the agent's log tells more under request ${requestId}`;
  return build(Code.INTERNAL, 'INTERNAL', message, { requestId });
}

function build(
  code: Code,
  reason: Reason | EdgeReason,
  message: string,
  info: Readonly<Record<string, string>> = {},
  error?: AgentError,
): RpcStatus {
  const details = [toErrorInfo(reason, info)];
  if (error?.retryAfterMs !== undefined) {
    const retryDelay = toDuration(error.retryAfterMs);
    details.push(pack('RetryInfo', RetryInfo.encode({ retryDelay }).finish()));
  }
  const text = messageText(message);
  let status = Status.encode({ code, message: text, details }).finish();
  // As many violations as there is room for.
  const told: FieldViolation[] = [];
  for (const violation of error?.violations ?? []) {
    told.push(shorten(violation));
    const more = [...details, ...toViolations(error, told)];
    const longer = Status.encode({ code, message: text, details: more }).finish();
    if (longer.length > MAX_STATUS_BYTES) break;
    status = longer;
  }
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', Buffer.from(status));
  return { code, details: text, metadata, reason };
}

function toErrorInfo(reason: string, info: Readonly<Record<string, string>>): Any {
  const entries = Object.entries(info).slice(0, MAX_METADATA_ENTRIES);
  const metadata = Object.fromEntries(entries.map(([key, value]) => [key, detailText(value)]));
  return pack('ErrorInfo', ErrorInfo.encode({ reason, domain: ERROR_DOMAIN, metadata }).finish());
}

function toViolations(error: AgentError | undefined, violations: FieldViolation[]): Any[] {
  // The fields of NOT_SUPPORTED are those that must be left out of the request.
  if (error?.kind === 'invalid-argument' || error?.kind === 'unimplemented') {
    const request = { fieldViolations: violations };
    return [pack('BadRequest', BadRequest.encode(request).finish())];
  }
  if (error?.kind !== 'failed-precondition') return [];
  const failure = {
    violations: violations.map(({ field, description }) => ({
      type: error.reason,
      subject: field,
      description,
    })),
  };
  return [pack('PreconditionFailure', PreconditionFailure.encode(failure).finish())];
}

function shorten({ field, description }: FieldViolation): FieldViolation {
  return { field: detailText(field), description: detailText(description) };
}

function pack(type: string, value: Uint8Array): Any {
  return { typeUrl: `type.googleapis.com/google.rpc.${type}`, value: Buffer.from(value) };
}

function detailText(text: string): string {
  return (
    text.length > MAX_DETAIL_LENGTH ? `${text.slice(0, MAX_DETAIL_LENGTH - 1)}…` : text
  ).toWellFormed();
}

/** The longest beginning that fits into its header, where it is percent-encoded. */
function messageText(message: string): string {
  // A lone surrogate would make the gRPC library throw (it calls encodeURI) and so end the process.
  let text = message.slice(0, MAX_MESSAGE_BYTES).toWellFormed();
  let shortened = text.length < message.length;
  while (encodeURI(text).length > MAX_MESSAGE_BYTES) {
    text = text.slice(0, Math.floor(text.length * 0.8)).toWellFormed();
    shortened = true;
  }
  return shortened ? `${text}…` : text;
}

/** What was thrown because the call ended: the signal's reason itself, or an AbortError made of it. */
function isAbort(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || (error instanceof Error && error.name === 'AbortError');
}

function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === 'TimeoutError';
}
