import { runStrategyOf } from '../../core/resources/run-strategy.ts';
import { isByAgent } from '../operations/requester.ts';
import { endKind, isRunEndCause, type RunEndCause } from '../runs/run-ends.ts';
import { endText } from '../vms/vm-phase.ts';
import type { Request } from './recent-requests.ts';
import { askedBy, type Happening, isAnotherRun, type SeenChange } from './seen-change.ts';

/** How what was not on has ended: nothing has happened. */
const NO_END: readonly RunEndCause[] = ['never-started', 'no-record', 'start-failed'];
/** Ends that nobody has seen: of a VM that was off already they tell that the end before was forgotten. */
const GUESSED: readonly RunEndCause[] = ['not-seen', 'node-rebooted'];
/** Ends that nobody wanted. */
const UNEXPECTED: readonly RunEndCause[] = [
  'node-shutdown-power-cut',
  'terminated',
  'crashed',
  'guest-crashed',
  'daemon-restarted',
  'node-rebooted',
  'not-seen',
];

/** That a VM has come on or gone off, or both between two looks. */
export function powerChanges(change: SeenChange): readonly Happening[] {
  const { now } = change;
  const stop = stopOf(change);
  const isNew = isAnotherRun(change) || stop !== undefined;
  return [...(stop === undefined ? [] : [stop]), ...(now.isOn && isNew ? [startOf(change)] : [])];
}

function stopOf(change: SeenChange): Happening | undefined {
  const { before, now, seen } = change;
  const { endCause: cause, endAtMs, isOn } = now;
  if (!isRunEndCause(cause) || NO_END.includes(cause)) return undefined;
  if (endAtMs <= before.endAtMs) return undefined;
  if (!before.isOn && !isOn && (cause === before.endCause || GUESSED.includes(cause))) {
    return undefined;
  }
  // That tells its end itself.
  if (cause === 'migrated' && seen.vm.migration !== undefined) return undefined;
  const request = change.requestOf('shutdown', 'destroy', 'restart', 'delete');
  // Its power is cut for that, and it will be gone.
  const isDeleted = cause === 'destroyed-by-other' && request?.kind === 'delete';
  if (isDeleted) {
    const message = `Its power was cut to delete it as ${request.requestedBy} wanted it`;
    return { reason: 'Stopped', message, cause: 'Destroyed', ...askedBy(request) };
  }
  const by = seen.vm.run?.end?.by ?? '';
  const operation = request?.requestedBy === by ? { operationId: request.id } : {};
  return {
    reason: UNEXPECTED.includes(cause) ? 'StoppedUnexpectedly' : 'Stopped',
    message: endText(cause, by, seen.domain.hypervisorName),
    cause: endKind(cause).reason,
    ...(by !== '' && { requestedBy: by, ...operation }),
  };
}

function startOf(change: SeenChange): Happening {
  const { before, now, seen } = change;
  const request = change.requestOf('start', 'restart', 'create', 'apply');
  const why = seen.domain.stateReason === 'restored' ? RESTORED : whyStarted(change, request);
  // No look has seen it off.
  const between =
    before.isOn && before.endAtMs === now.endAtMs ? ', after it was off for a moment' : '';
  return { reason: 'Started', ...why, message: why.message + between, ...askedBy(request) };
}

const RESTORED = {
  message: 'It was started, and goes on from the memory that was saved',
  cause: 'Restored',
};

function whyStarted({ seen }: SeenChange, request: Request | undefined) {
  if (request === undefined) {
    return { message: 'It was started by other means than this agent', cause: 'Other' };
  }
  const { requestedBy, kind } = request;
  if (isByAgent(requestedBy)) {
    const strategy = runStrategyOf(seen.vm.definition.spec);
    return { message: `It was started by its run strategy ${strategy}`, cause: 'RunStrategy' };
  }
  const isOfSpec = kind === 'create' || kind === 'apply';
  const how = isOfSpec ? 'as its run strategy wants it on' : `as ${requestedBy} wanted it`;
  return { message: `It was started ${how}`, cause: isOfSpec ? 'RunStrategy' : 'Request' };
}
