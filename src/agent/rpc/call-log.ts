import { status as Code } from '@grpc/grpc-js';
import { auditLog, type Logger } from '../../core/logger.ts';
import { changesSomething, isRefusal, readsSecrets } from './authorization.ts';
import type { OpenCall } from './call-context.ts';
import { toStatus } from './status.ts';

const OK = 'OK';
const SECRETS_READ = 'Secrets read';

/**
 * Writes down how a call ended: each once at debug or louder, and each change, each refusal and each look at secrets in the audit
 * log.
 */
export function logCall(
  log: Logger,
  method: string,
  call: OpenCall,
  outcome: { readonly error: unknown } | undefined,
): void {
  const status =
    outcome === undefined ? undefined : toStatus(outcome.error, call.signal, call.requestId);
  const fields = {
    requestId: call.requestId,
    method,
    caller: call.caller.identity,
    ...call.subject,
    durationMs: call.durationMs,
  };
  const audited = { role: call.caller.role, ...fields, outcome: status?.reason ?? OK };
  if (changesSomething(method)) auditLog(log).info(audited, 'Change requested');
  else if (isRefusal(outcome?.error)) auditLog(log).warn(audited, 'Call refused');
  else if (readsSecrets(method) && !call.isAudited) auditLog(log).info(audited, SECRETS_READ);
  if (status === undefined) log.debug(fields, 'Call answered');
  else log[levelOf(status.code)]({ ...fields, err: outcome?.error }, 'Call failed');
}

/** Writes down that a call begins to answer with secrets: one that is followed may go on for days. */
export function logFirstAnswer(log: Logger, method: string, call: OpenCall): void {
  if (!readsSecrets(method) || call.isAudited) return;
  const { requestId, caller, subject, durationMs } = call;
  const { identity, role } = caller;
  const fields = { role, requestId, method, caller: identity, ...subject, durationMs, outcome: OK };
  auditLog(log).info(fields, SECRETS_READ);
  call.isAudited = true;
}

function levelOf(code: Code): 'debug' | 'info' | 'warn' | 'error' {
  switch (code) {
    case Code.CANCELLED:
      return 'debug';
    // The caller's mistakes: they are told, and the node is well.
    case Code.INVALID_ARGUMENT:
    case Code.NOT_FOUND:
    case Code.ALREADY_EXISTS:
    case Code.ABORTED:
      return 'info';
    case Code.INTERNAL:
      return 'error';
    default:
      return 'warn';
  }
}
