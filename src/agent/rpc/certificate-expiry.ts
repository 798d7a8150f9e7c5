import { AgentError } from '../../core/errors.ts';
import type { Caller } from './identity.ts';

// A timer does not follow a clock that is set, so the clock is looked at this often.
const LOOK_INTERVAL_MS = 60_000;

export function hasExpired({ expiresAtMs }: Caller): boolean {
  return Date.now() >= expiresAtMs;
}

export function expiredError({ identity }: Caller): AgentError {
  return new AgentError('UNAUTHENTICATED', `The certificate of ${identity} has expired`);
}

/** Calls back once the caller's certificate has expired, unless the returned function is called before. */
export function onExpiry(caller: Caller, callBack: () => void): () => void {
  if (caller.expiresAtMs === Number.POSITIVE_INFINITY) return () => undefined;
  let timer: NodeJS.Timeout;
  const look = (): void => {
    if (hasExpired(caller)) callBack();
    else wait();
  };
  const wait = (): void => {
    const leftMs = Math.max(0, caller.expiresAtMs - Date.now());
    timer = setTimeout(look, Math.min(leftMs, LOOK_INTERVAL_MS)).unref();
  };
  wait();
  return () => clearTimeout(timer);
}
