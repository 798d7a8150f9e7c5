import { pastStartsText } from '../runs/restart-report.ts';
import { timeText } from '../vms/vm-phase.ts';
import { askedBy, type Happening, isAnotherRun, type SeenChange } from './seen-change.ts';

/** libvirt tells of one several times. */
const ONE_REBOOT_MS = 2_000;

/** That a guest has begun anew without its VM having gone off, and that a start waits as those before it have not lasted. */
export function restartChanges(change: SeenChange): readonly Happening[] {
  return [...reboot(change), ...backOff(change)];
}

function reboot(change: SeenChange): readonly Happening[] {
  const { before, now } = change;
  if (now.reboots <= before.reboots || isAnotherRun(change)) return [];
  if (now.atMs - before.rebootedAtMs < ONE_REBOOT_MS) return [];
  const request = change.requestOf('reset', 'reboot');
  // Its operation tells so.
  if (request?.kind === 'reset') return [];
  const message =
    request === undefined
      ? 'Its guest has begun anew by itself, or was reset by other means than this agent'
      : `Its guest has rebooted as ${request.requestedBy} wanted it to`;
  const cause = request === undefined ? 'Other' : 'Request';
  return [{ reason: 'Rebooted', message, cause, ...askedBy(request) }];
}

function backOff({ before, now, seen }: SeenChange): readonly Happening[] {
  const { restart } = seen.vm;
  const { nextStartMs } = now;
  if (restart === undefined || nextStartMs === undefined) return [];
  if (nextStartMs === before.nextStartMs) return [];
  const { attempts, failedStarts, lastFailure } = restart;
  // The first start is soon, and needs no word.
  if (attempts === 0 && failedStarts === 0) return [];
  const message = `Starts again at ${timeText(nextStartMs)}${pastStartsText(restart)}`;
  return [{ reason: 'BackOff', message, cause: 'RunStrategy', sameAs: lastFailure }];
}
