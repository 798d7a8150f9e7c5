import { randomUUID } from 'node:crypto';
import {
  status as Code,
  type Deadline,
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptor,
} from '@grpc/grpc-js';
import { AgentError } from '../../core/errors.ts';
import { auditLog, type Logger } from '../../core/logger.ts';
import { authorize, isRefusal } from './authorization.ts';
import { expiredError, hasExpired, onExpiry } from './certificate-expiry.ts';
import type { Caller } from './identity.ts';
import { MAX_UNREAD_BYTES } from './message-limits.ts';
import type { RpcObserver } from './rpc-observer.ts';
import { type RpcStatus, toStatus } from './status.ts';

/** A call that passed the gate. */
export interface AdmittedCall {
  readonly caller: Caller;
  readonly requestId: string;
}

/** Leads from a call's metadata, of which the gRPC library makes one object per call, to who makes it. */
export class AdmittedCalls {
  readonly #calls = new WeakMap<Metadata, AdmittedCall>();

  add(metadata: Metadata, call: AdmittedCall): void {
    this.#calls.set(metadata, call);
  }

  /** Fails with UNAUTHENTICATED for a call that came by another way than the gate. */
  get(metadata: Metadata): AdmittedCall {
    const call = this.#calls.get(metadata);
    if (call !== undefined) return call;
    throw new AgentError('UNAUTHENTICATED', 'The call was not admitted');
  }
}

/** What a connection knows about itself when one of its calls comes. */
export interface Gate {
  /** Who is at the other end, or why that is not known. */
  readonly caller: Caller | AgentError;
  /** Why no more calls are taken; undefined while they are. */
  readonly closing: AgentError | undefined;
  /** Streams that must be ended before the connection can close in peace. */
  readonly openStreams: Set<(status: RpcStatus) => void>;
  /** Of answers that have not left for the other end. What waits for a watch is bounded by its queue. */
  unreadBytes: number;
}

export interface AdmissionDependencies {
  readonly admitted: AdmittedCalls;
  readonly observer: RpcObserver;
  readonly log: Logger;
}

const never = new AbortController().signal;

/**
 * Every call of a connection passes here, those to health and reflection too, whoever registered the
 * method: identity, expiry of the certificate, role, and whether the connection still takes calls. Streams end
 * when the certificate expires.
 */
export function admission(gate: Gate, dependencies: AdmissionDependencies): ServerInterceptor {
  const { admitted, observer, log } = dependencies;
  const audit = auditLog(log);
  return ({ path: method, responseStream }, nextCall) => {
    const startedAt = performance.now();
    const requestId = randomUUID();
    let code: Code | undefined;
    let forgetExpiry: (() => void) | undefined;
    let answerBytes = 0;
    const end = (status: RpcStatus) => call.sendStatus(status);
    const refuse = (error: unknown, send = end): void => {
      const status = toStatus(error, never, requestId);
      const { reason: outcome, details: problem } = status;
      const fields = { requestId, method, ...whoIs(gate), outcome, problem };
      (isRefusal(error) ? audit : log).warn(fields, 'Call refused');
      send(status);
    };
    /** Past the gate, which has a status wait for the message before it: that will not be sent. */
    const endInstead = (status: RpcStatus): void => {
      code = status.code;
      nextCall.sendStatus(status);
    };
    const call = new ServerInterceptingCall(nextCall, {
      start: (next) => {
        next({
          onReceiveMetadata: (metadata, proceed) => {
            observer.callStarted(method);
            let caller: Caller;
            try {
              caller = admit(gate, method);
              admitted.add(metadata, { caller, requestId });
            } catch (error) {
              refuse(error);
              return;
            }
            if (responseStream) {
              gate.openStreams.add(end);
              // Other calls have a deadline; a stream would outlive what it was let in by.
              forgetExpiry = onExpiry(caller, () =>
                end(toStatus(expiredError(caller), never, requestId)),
              );
            }
            proceed(metadata);
          },
          // Comes at the end of every call, however it ended.
          onCancel: () => {
            forgetExpiry?.();
            gate.unreadBytes -= answerBytes;
            gate.openStreams.delete(end);
            observer.callEnded({
              method,
              role: whoIs(gate).role,
              code:
                code ??
                (hasPassed(nextCall.getDeadline()) ? Code.DEADLINE_EXCEEDED : Code.CANCELLED),
              durationMs: performance.now() - startedAt,
            });
          },
        });
      },
      sendMessage: (message: Buffer, next) => {
        if (!responseStream) {
          if (gate.unreadBytes + message.length > MAX_UNREAD_BYTES) {
            refuse(unreadError(), endInstead);
            return;
          }
          answerBytes = message.length;
          gate.unreadBytes += answerBytes;
        }
        next(message);
      },
      sendStatus: (status, next) => {
        code ??= status.code ?? Code.UNKNOWN;
        next(status);
      },
    });
    return call;
  };
}

function unreadError(): AgentError {
  return new AgentError(
    'ANSWERS_UNREAD',
    `Cannot answer: ${MAX_UNREAD_BYTES / 1024 ** 2} MiB of answers wait for this connection to take them; read them first, or ask for less at a time`,
    { retryAfterMs: 1_000 },
  );
}

function whoIs({ caller }: Gate): {
  readonly role: Caller['role'] | 'none';
  readonly caller: string;
} {
  if (caller instanceof AgentError) return { role: 'none', caller: '' };
  return { role: caller.role, caller: caller.identity };
}

function admit({ caller, closing }: Gate, method: string): Caller {
  if (caller instanceof AgentError) throw caller;
  if (closing !== undefined) throw closing;
  if (hasExpired(caller)) throw expiredError(caller);
  authorize(method, caller);
  return caller;
}

function hasPassed(deadline: Deadline): boolean {
  return Date.now() >= Number(deadline);
}
