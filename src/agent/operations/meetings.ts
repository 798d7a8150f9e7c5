import {
  isOfNode,
  type NodeOperationKind,
  type OperationKind,
  type VmOperationKind,
} from './operation.ts';

/** What an operation is, as far as others are concerned. */
export type Deed = VmDeed | NodeOperationKind;

type VmDeed = VmOperationKind | 'delete-force';

/**
 * What becomes of an operation that goes on when another one of the same VM is asked for:
 *
 * - `together`: both are done, a step at a time.
 * - `supersede`: the newer one takes its place; the older ends as superseded.
 * - `cancel`: it is cancelled, and the newer one waits until it has ended.
 * - `busy`: the newer one is refused with VM_BUSY.
 */
export type Meeting = 'together' | 'supersede' | 'cancel' | 'busy';

/** Of VMs, by the newer one, then by the one that goes on. Shown in docs/api.md. */
export const MEETINGS: Readonly<Record<VmDeed, Readonly<Record<VmOperationKind, Meeting>>>> = {
  create: all('busy'),
  apply: { ...all('busy'), start: 'together', shutdown: 'together', destroy: 'together' },
  start: { ...all('busy'), ...power('supersede'), apply: 'together' },
  shutdown: { ...all('busy'), ...power('supersede'), apply: 'together' },
  // Whoever cuts the power means it: a migration that can still be stopped makes way.
  destroy: { ...all('busy'), ...power('supersede'), apply: 'together', migrate: 'cancel' },
  delete: all('busy'),
  'delete-force': { ...all('busy'), ...power('supersede'), migrate: 'cancel' },
  migrate: all('busy'),
};

/** What becomes of an operation that goes on when a newer one is asked for. */
export function meetingOf(newer: Deed, goingOn: OperationKind): Meeting {
  // Nothing of the node meets anything of a VM, and of the node what was asked for last counts.
  if (isOfNodeDeed(newer) || isOfNode(goingOn)) return 'supersede';
  return MEETINGS[newer][goingOn];
}

function isOfNodeDeed(deed: Deed): deed is NodeOperationKind {
  return deed !== 'delete-force' && isOfNode(deed);
}

function all(meeting: Meeting): Record<VmOperationKind, Meeting> {
  return {
    create: meeting,
    apply: meeting,
    start: meeting,
    shutdown: meeting,
    destroy: meeting,
    delete: meeting,
    migrate: meeting,
  };
}

function power(meeting: Meeting) {
  return { start: meeting, shutdown: meeting, destroy: meeting };
}
