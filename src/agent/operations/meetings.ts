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
  adopt: all('busy'),
  apply: { ...all('busy'), ...power('together'), ...pauses('together') },
  eject: { ...all('busy'), ...power('together'), ...pauses('together') },
  insert: { ...all('busy'), ...power('together'), ...pauses('together') },
  start: { ...ofPower(), ...changes('together') },
  shutdown: { ...ofPower(), ...changes('together') },
  restart: { ...ofPower(), ...changes('together') },
  reset: { ...ofPower(), destroy: 'busy', ...changes('together') },
  reboot: { ...ofPower(), destroy: 'busy', ...changes('together') },
  // A guest that stands still would be waited for in vain.
  suspend: { ...all('busy'), ...pauses('supersede'), ...changes('together') },
  // A guest that is paused while it is waited for can power off only once it goes on.
  resume: {
    ...all('busy'),
    ...pauses('supersede'),
    shutdown: 'together',
    restart: 'together',
    ...changes('together'),
  },
  // Whoever cuts the power means it: a migration that can still be stopped makes way.
  destroy: { ...ofPower(), ...changes('together'), migrate: 'cancel' },
  delete: all('busy'),
  'delete-force': { ...ofPower(), migrate: 'cancel' },
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
    adopt: meeting,
    start: meeting,
    shutdown: meeting,
    destroy: meeting,
    suspend: meeting,
    resume: meeting,
    reset: meeting,
    reboot: meeting,
    restart: meeting,
    eject: meeting,
    insert: meeting,
    delete: meeting,
    migrate: meeting,
  };
}

/** What comes last of all that is wanted of a VM's power counts. */
function ofPower() {
  return { ...all('busy'), ...power('supersede'), ...pauses('supersede') };
}

function power(meeting: Meeting) {
  return { start: meeting, shutdown: meeting, destroy: meeting, restart: meeting };
}

/** What a VM is made of. */
function changes(meeting: Meeting) {
  return { apply: meeting, eject: meeting, insert: meeting };
}

function pauses(meeting: Meeting) {
  return { suspend: meeting, resume: meeting, reset: meeting, reboot: meeting };
}
