import type { OperationKind } from '../operations/operation.ts';
import type { EventNote } from './event.ts';
import type { Request } from './recent-requests.ts';
import type { VmSight, WholeVm } from './vm-sight.ts';

/** A VM as it was last seen, as it is seen now, and what may explain the difference. */
export interface SeenChange {
  readonly before: VmSight;
  readonly now: VmSight;
  readonly seen: WholeVm;
  /** The newest request of these kinds that may have brought it about; undefined if there is none. */
  readonly requestOf: (...kinds: readonly OperationKind[]) => Request | undefined;
}

/** What has happened to the VM of a change. */
export type Happening = Omit<EventNote, 'vm' | 'atMs'>;

/** Of a happening: who has asked for it, and by which operation. */
export function askedBy(
  request: Request | undefined,
): Pick<EventNote, 'requestedBy' | 'operationId'> {
  return request === undefined ? {} : { requestedBy: request.requestedBy, operationId: request.id };
}

/** Whether a run began or ended between the two looks. */
export function isAnotherRun({ before, now }: SeenChange): boolean {
  if (before.isOn !== now.isOn) return true;
  const { runSinceMs } = before;
  return now.isOn && runSinceMs !== undefined && (now.runSinceMs ?? runSinceMs) !== runSinceMs;
}
