import { isByAgent } from '../operations/requester.ts';
import { mayStopAgain } from '../vms/vm-pauses.ts';
import { askedBy, type Happening, isAnotherRun, type SeenChange } from './seen-change.ts';

/** That a VM stands still, or goes on. */
export function pauseChanges(change: SeenChange): readonly Happening[] {
  const { before, now, seen } = change;
  const was = isAnotherRun(change) ? '' : before.pause;
  if (now.pause === was) return [];
  if (now.pause === '') return now.isOn ? [resumption(change)] : [];
  const { message } = seen.vm;
  const cause = now.pause;
  if (mayStopAgain(seen.vm) || cause === 'PostCopyFailed') {
    return [{ reason: 'PausedUnexpectedly', message, cause }];
  }
  const request = cause === 'Suspended' ? change.requestOf('suspend') : undefined;
  return [
    { reason: 'Paused', message: suspension(message, cause, request), cause, ...askedBy(request) },
  ];
}

function suspension(message: string, cause: string, request: { requestedBy: string } | undefined) {
  if (cause !== 'Suspended') return message;
  return request === undefined
    ? `${message}; it was suspended by other means than this agent`
    : `${message}; it was suspended as ${request.requestedBy} wanted it`;
}

function resumption(change: SeenChange): Happening {
  const request = change.requestOf('resume');
  let message = 'It goes on, and not because this agent was asked for that';
  if (request !== undefined) {
    message = isByAgent(request.requestedBy)
      ? 'It was let go on by itself, as its ioErrorResume is auto'
      : `It goes on as ${request.requestedBy} wanted it`;
  }
  return { reason: 'Resumed', message, cause: change.before.pause, ...askedBy(request) };
}
