import { type ServiceError, status } from '@grpc/grpc-js';
import { AgentError, type AgentErrorOptions, isReason, type Reason } from '../core/errors.ts';
import {
  BadRequest,
  ErrorInfo,
  PreconditionFailure,
  RetryInfo,
} from '../gen/google/rpc/error_details.ts';
import { Status } from '../gen/google/rpc/status.ts';
import { durationMs } from './time.ts';

const DOMAIN = 'agent.novacron.dev';

/**
 * For statuses that carry no reason this client knows: made by the gRPC library, by the agent's edge or by a newer
 * agent. Each has the kind of its status where a reason of that kind exists.
 */
const REASON_BY_CODE: Readonly<Partial<Record<status, Reason>>> = {
  [status.INVALID_ARGUMENT]: 'INVALID_REQUEST',
  [status.OUT_OF_RANGE]: 'INVALID_REQUEST',
  [status.NOT_FOUND]: 'VM_NOT_FOUND',
  [status.ALREADY_EXISTS]: 'VM_ALREADY_EXISTS',
  [status.PERMISSION_DENIED]: 'PERMISSION_DENIED',
  [status.UNAUTHENTICATED]: 'UNAUTHENTICATED',
  [status.RESOURCE_EXHAUSTED]: 'STORAGE_FULL',
  [status.FAILED_PRECONDITION]: 'FEATURE_NOT_SUPPORTED',
  [status.UNIMPLEMENTED]: 'FEATURE_NOT_SUPPORTED',
  [status.ABORTED]: 'VM_BUSY',
  [status.CANCELLED]: 'STREAM_FAILED',
  [status.UNAVAILABLE]: 'PEER_UNREACHABLE',
  [status.DEADLINE_EXCEEDED]: 'PEER_UNREACHABLE',
};

/**
 * What a failed call means. An error without a reason that this client knows has the gRPC status in its
 * metadata (`grpcStatus: 'UNAVAILABLE'`), and the agent's `address` or the unknown `reason`.
 */
export function toAgentError(error: ServiceError, address: string): AgentError {
  return explainedByAgent(error) ?? explainedByCode(error, address);
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
    metadata: {
      ...info.metadata,
      reason: info.reason,
      grpcStatus: status[error.code] ?? String(error.code),
    },
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
  const metadata = { grpcStatus: status[error.code] ?? String(error.code), address };
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
            reasonOf(error),
            `Cannot reach the agent at ${address}: ${whyUnreachable(error.details)}`,
            options,
          );
    case status.DEADLINE_EXCEEDED:
      return new AgentError(
        reasonOf(error),
        `The agent at ${address} did not answer in time`,
        options,
      );
    case status.UNIMPLEMENTED:
      return new AgentError(
        reasonOf(error),
        `The agent at ${address} does not know this call; it may be of an older version`,
        options,
      );
    default:
      return new AgentError(
        reasonOf(error),
        `The agent at ${address} answered ${metadata.grpcStatus}: ${error.details || 'no details'}`,
        options,
      );
  }
}

function reasonOf(error: ServiceError): Reason {
  return REASON_BY_CODE[error.code] ?? 'HYPERVISOR_FAILURE';
}

const SOCKET_ERRORS: readonly (readonly [RegExp, string])[] = [
  [/\bENOENT\b/, 'the socket does not exist'],
  [/\bECONNREFUSED\b/, 'nothing listens there'],
  [/\bENOTFOUND\b|\bEAI_AGAIN\b|Name resolution failed/, 'the host name is not known'],
  [/\bEHOSTUNREACH\b|\bENETUNREACH\b/, 'there is no route to it'],
  [/\bETIMEDOUT\b/, 'it does not answer'],
  [/\bECONNRESET\b|socket hang up|Connection dropped/, 'the connection was lost'],
  [/self.signed|unable to verify|unable to get/i, 'its certificate is not signed by our CA'],
  [/certificate has expired/i, 'its certificate has expired'],
  [/alert/i, 'it refused our certificate'],
];

function whyUnreachable(details: string): string {
  const known = SOCKET_ERRORS.find(([pattern]) => pattern.test(details));
  if (known !== undefined) return known[1];
  return details.replace(/^.*?Last error: (Error: )?/, '') || 'no connection';
}
