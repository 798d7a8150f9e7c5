import { status as Code } from '@grpc/grpc-js';
import { changesSomething, isRefusal, readsSecrets } from './authorization.ts';
import type { OpenCall } from './call-context.ts';
import type { Calls } from './calls.ts';
import { toStatus } from './status.ts';

const OK = 'OK';
const SECRETS_READ = 'Secrets read';
const CHANGE_REQUESTED = 'Change requested';

/**
 * Writes down how a call ended: each once at debug or louder, and each change, each refusal and each look at secrets in the audit
 * log.
 */
export function logCall(
  { log, audit, mistakes }: Calls,
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
  if (changesSomething(method)) {
    if (!call.isAudited) audit.info(audited, CHANGE_REQUESTED);
  } else if (isRefusal(outcome?.error)) audit.warn(audited, 'Call refused');
  else if (readsSecrets(method) && !call.isAudited) audit.info(audited, SECRETS_READ);
  if (status === undefined) {
    log.debug(fields, 'Call answered');
    return;
  }
  const level = levelOf(status.code);
  // Nobody needs the stack of somebody else's mistake.
  if (level === 'info') {
    mistakes.write({ ...fields, outcome: status.reason, problem: status.details });
  } else log[level]({ ...fields, err: outcome?.error }, 'Call failed');
}

/** Writes down that a call begins to answer with secrets: one that is followed may go on for days. */
export function logFirstAnswer({ audit }: Calls, method: string, call: OpenCall): void {
  if (!readsSecrets(method) || call.isAudited) return;
  const { requestId, caller, subject, durationMs } = call;
  const { identity, role } = caller;
  const fields = { role, requestId, method, caller: identity, ...subject, durationMs, outcome: OK };
  audit.info(fields, changesSomething(method) ? CHANGE_REQUESTED : SECRETS_READ);
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
