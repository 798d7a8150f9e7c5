import { type ServiceError, status } from '@grpc/grpc-js';
import {
  AgentError,
  type AgentErrorOptions,
  hasReason,
  isReason,
  type Reason,
} from '../core/errors.ts';
import {
  BadRequest,
  ErrorInfo,
  PreconditionFailure,
  RetryInfo,
} from '../gen/google/rpc/error_details.ts';
import { Status } from '../gen/google/rpc/status.ts';
import { durationMs } from './time.ts';

const DOMAIN = 'agent.novacron.io';

/** What the gRPC library and proxies mean by a status, where a reason says just that. */
const REASON_BY_CODE: Readonly<Partial<Record<status, Reason>>> = {
  [status.INVALID_ARGUMENT]: 'INVALID_REQUEST',
  [status.OUT_OF_RANGE]: 'INVALID_REQUEST',
  [status.PERMISSION_DENIED]: 'PERMISSION_DENIED',
  [status.UNAUTHENTICATED]: 'UNAUTHENTICATED',
  [status.UNAVAILABLE]: 'AGENT_UNREACHABLE',
  [status.DEADLINE_EXCEEDED]: 'DEADLINE_EXCEEDED',
  [status.INTERNAL]: 'INTERNAL',
  [status.UNKNOWN]: 'INTERNAL',
  [status.DATA_LOSS]: 'INTERNAL',
};

/** For the others: a reason of the same kind, that says more than is known. */
const STAND_IN_BY_CODE: Readonly<Partial<Record<status, Reason>>> = {
  [status.NOT_FOUND]: 'VM_NOT_FOUND',
  [status.ALREADY_EXISTS]: 'VM_ALREADY_EXISTS',
  [status.RESOURCE_EXHAUSTED]: 'STORAGE_FULL',
  [status.FAILED_PRECONDITION]: 'FEATURE_NOT_SUPPORTED',
  [status.UNIMPLEMENTED]: 'FEATURE_NOT_SUPPORTED',
  [status.ABORTED]: 'VM_BUSY',
  [status.CANCELLED]: 'STREAM_FAILED',
};

/**
 * What a failed call means. The metadata of what the agent has not explained has its `address`. Where the reason is only
 * a stand-in it also has the gRPC status (`grpcStatus: 'ABORTED'`), and the `reason` that this client does not know.
 */
export function toAgentError(error: ServiceError, address: string): AgentError {
  return explainedByAgent(error) ?? explainedByCode(error, address);
}

/**
 * Whether nobody knows if the agent has received, or done, what was asked for by a call that has failed like this. One that did
 * not get as far as the agent has changed nothing.
 */
export function mayHaveArrived(error: unknown): boolean {
  if (hasReason(error, 'DEADLINE_EXCEEDED', 'SHUTTING_DOWN', 'STREAM_FAILED')) return true;
  if (!hasReason(error, 'AGENT_UNREACHABLE')) return false;
  const { details = '' } = (error.cause ?? {}) as { readonly details?: string };
  // grpc-js has one code for this and for a connection that is lost while it waits for the answer.
  return !/^No connection established|^Name resolution failed/.test(details);
}

function explainedByAgent(error: ServiceError): AgentError | undefined {
  const details = decodeDetails(error);
  if (details === undefined) return undefined;
  const { info, options } = details;
  if (isReason(info.reason)) {
    return new AgentError(info.reason, error.details, { ...options, metadata: info.metadata });
  }
  return new AgentError(reasonOf(error), error.details, {
    ...options,
    metadata: { ...info.metadata, reason: info.reason, grpcStatus: nameOf(error) },
  });
}

function decodeDetails(
  error: ServiceError,
): { readonly info: ErrorInfo; readonly options: AgentErrorOptions } | undefined {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  if (!(bytes instanceof Uint8Array)) return undefined;
  let info: ErrorInfo | undefined;
  let retryAfterMs: number | undefined;
  const violations: { field: string; description: string }[] = [];
  try {
    for (const { typeUrl, value } of Status.decode(bytes).details) {
      switch (typeUrl.slice(typeUrl.lastIndexOf('/') + 1)) {
        case 'google.rpc.ErrorInfo':
          info = ErrorInfo.decode(value);
          break;
        case 'google.rpc.RetryInfo': {
          const { retryDelay } = RetryInfo.decode(value);
          if (retryDelay !== undefined) retryAfterMs = durationMs(retryDelay);
          break;
        }
        case 'google.rpc.BadRequest':
          violations.push(...BadRequest.decode(value).fieldViolations);
          break;
        case 'google.rpc.PreconditionFailure':
          for (const { subject, description } of PreconditionFailure.decode(value).violations) {
            violations.push({ field: subject, description });
          }
          break;
      }
    }
  } catch {
    // Details that cannot be read explain nothing; the status code still does.
    return undefined;
  }
  if (info?.domain !== DOMAIN) return undefined;
  const retry = retryAfterMs === undefined ? {} : { retryAfterMs };
  return { info, options: { cause: error, violations, ...retry } };
}

function explainedByCode(error: ServiceError, address: string): AgentError {
  const reason = reasonOf(error);
  const isStandIn = reason === STAND_IN_BY_CODE[error.code];
  const metadata = isStandIn ? { grpcStatus: nameOf(error), address } : { address };
  const options = { cause: error, metadata };
  switch (error.code) {
    case status.UNAVAILABLE:
      // grpc-js gives no code, only the text of the socket's error.
      return /\bEACCES\b|\bEPERM\b/.test(error.details)
        ? new AgentError(
            'PERMISSION_DENIED',
            `Cannot open the agent's socket ${address}: permission denied`,
            options,
          )
        : new AgentError(
            reason,
            `Cannot reach the agent at ${address}: ${whyUnreachable(error.details, address)}`,
            options,
          );
    case status.DEADLINE_EXCEEDED:
      return new AgentError(reason, `The agent at ${address} did not answer in time`, options);
    case status.UNIMPLEMENTED:
      return new AgentError(
        reason,
        `The agent at ${address} does not know this call; it may be of an older version`,
        options,
      );
    default:
      return new AgentError(
        reason,
        `The agent at ${address} answered ${nameOf(error)}: ${error.details || 'no details'}`,
        options,
      );
  }
}

function reasonOf({ code, details }: ServiceError): Reason {
  // The gRPC library uses one status for a message beyond its limit and for whatever else there is too much of.
  if (code === status.RESOURCE_EXHAUSTED && /larger than max/.test(details)) {
    return 'RESPONSE_TOO_LARGE';
  }
  return REASON_BY_CODE[code] ?? STAND_IN_BY_CODE[code] ?? 'INTERNAL';
}

function nameOf({ code }: ServiceError): string {
  return status[code] ?? String(code);
}

const LOST = 'the connection was lost';
const SOCKET_ERRORS: readonly (readonly [RegExp, string])[] = [
  [/\bENOENT\b/, 'the socket does not exist'],
  [/\bECONNREFUSED\b/, 'nothing listens there'],
  [/\bENOTFOUND\b|\bEAI_AGAIN\b|Name resolution failed/, 'the host name is not known'],
  [/\bEHOSTUNREACH\b|\bENETUNREACH\b/, 'there is no route to it'],
  [/\bETIMEDOUT\b/, 'it does not answer'],
  [/\bECONNRESET\b|socket hang up|Connection dropped/, LOST],
  [/self.signed|unable to verify|unable to get/i, 'its certificate is not signed by our CA'],
  [/certificate has expired/i, 'its certificate has expired'],
  [/alert/i, 'it refused our certificate'],
];

/** In TLS 1.3 an agent refuses a certificate only once the connection stands, and often nothing is left of its word for it. */
const REFUSED_TOO = '; an agent that does not accept our certificate ends it like that too';

function whyUnreachable(details: string, address: string): string {
  const known = SOCKET_ERRORS.find(([pattern]) => pattern.test(details))?.[1];
  if (known === LOST && !address.startsWith('unix:')) return `${known}${REFUSED_TOO}`;
  if (known !== undefined) return known;
  const own = details.replace(/^.*?Last error: (Error: )?/, '');
  return own.replace(/\.? Resolution note: *$/, '') || 'no connection';
}
