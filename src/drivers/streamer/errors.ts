import { AgentError } from '../../core/errors.ts';

/** A failure of one transfer; `code` is the streamer's own, such as `PEER_REFUSED`, where it gave one. */
export function streamError(
  id: string,
  message: string,
  details: { readonly code?: string; readonly cause?: unknown } = {},
): AgentError {
  return new AgentError('STREAM_FAILED', message, {
    metadata: { migrationId: id, ...(details.code ? { code: details.code } : {}) },
    ...(details.cause === undefined ? {} : { cause: details.cause }),
  });
}

export function isMissing(error: unknown): boolean {
  return errnoOf(error) === 'ENOENT';
}

/** The process went away while it was looked at: /proc answers ESRCH once a file is open. */
export function isGone(error: unknown): boolean {
  return ['ENOENT', 'ESRCH'].includes(errnoOf(error));
}

function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
