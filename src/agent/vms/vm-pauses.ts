import { AgentError } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { VmStateReason } from '../../drivers/hypervisor-domains.ts';
import type { Vm } from './vm.ts';

interface Pause {
  /** For programs, in one word. */
  readonly reason: string;
  /** Whether it ends by a resume; what else has paused it ends that by itself, or is ended by force. */
  readonly mayResume: boolean;
  /** What has paused it may do so again at once. */
  readonly mayRecur?: boolean;
  /** Why it stands still and what to do about it; `vm` is what commands call it. */
  readonly message: (vm: string) => string;
}

const OTHER: Pause = {
  reason: 'Paused',
  mayResume: true,
  message: (vm) =>
    `libvirt does not say what has paused it; let it go on with novactl vm resume ${vm}`,
};

/** Why a VM stands still: each reason that is told apart. */
export const PAUSES: Readonly<Partial<Record<VmStateReason, Pause>>> = {
  unknown: OTHER,
  user: {
    reason: 'Suspended',
    mayResume: true,
    message: (vm) => `It is suspended; let it go on with novactl vm resume ${vm}`,
  },
  migration: {
    reason: 'Migration',
    mayResume: false,
    message: (vm) =>
      `It is stopped for the switchover of a migration, after which it goes on, here or there; if it stays so and runs on no other node, end it with novactl vm destroy ${vm}`,
  },
  saving: {
    reason: 'Saving',
    mayResume: false,
    message: (vm) =>
      `Its memory is being saved to a file; wait until that has ended, or cut its power with novactl vm destroy ${vm}`,
  },
  dumping: {
    reason: 'Dumping',
    mayResume: false,
    message: (vm) =>
      `Its memory is being dumped to a file, after which it goes on; or cut its power with novactl vm destroy ${vm}`,
  },
  'io-error': {
    reason: 'IoError',
    mayResume: true,
    mayRecur: true,
    message: (vm) =>
      `It was paused by a disk error; make room or repair the storage, then let it go on with novactl vm resume ${vm}`,
  },
  'no-space': {
    reason: 'NoSpace',
    mayResume: true,
    mayRecur: true,
    message: (vm) =>
      `It was paused because the storage of a disk has no space left; make room there, then let it go on with novactl vm resume ${vm}`,
  },
  watchdog: {
    reason: 'Watchdog',
    mayResume: true,
    mayRecur: true,
    message: (vm) =>
      `The watchdog of its guest has stopped it; see what the guest says with novactl vm log ${vm}, then let it go on with novactl vm resume ${vm}, or begin anew with novactl vm reset ${vm} before that`,
  },
  'from-snapshot': {
    reason: 'FromSnapshot',
    mayResume: true,
    message: (vm) => `It was put back to a snapshot; let it go on with novactl vm resume ${vm}`,
  },
  'shutting-down': {
    reason: 'ShuttingDown',
    mayResume: false,
    message: (vm) =>
      `It is being powered off; if it stays so, end it with novactl vm destroy ${vm}`,
  },
  snapshotting: {
    reason: 'Snapshotting',
    mayResume: false,
    message: (vm) =>
      `A snapshot of it is being taken, after which it goes on; or cut its power with novactl vm destroy ${vm}`,
  },
  crashed: {
    reason: 'GuestCrashed',
    mayResume: true,
    mayRecur: true,
    message: (vm) =>
      `The guest crashed; see what it says with novactl vm log ${vm}, then begin anew with novactl vm reset ${vm} and novactl vm resume ${vm}`,
  },
  'starting-up': {
    reason: 'StartingUp',
    mayResume: false,
    message: (vm) =>
      `It is being started; if it stays so, read QEMU's log and libvirt's: a start that hangs is ended by novactl vm destroy ${vm}`,
  },
  postcopy: {
    reason: 'PostCopy',
    mayResume: false,
    message: () => 'It runs on another node, which still fetches memory from here; leave it be',
  },
  'postcopy-failed': {
    reason: 'PostCopyFailed',
    mayResume: false,
    message: () =>
      'The link over which another node fetches its memory is lost; mend the link between the nodes; if that node is off for good: novactl migration settle ID --node-is-off NODE (novactl migration list has both)',
  },
  'api-error': {
    reason: 'ApiError',
    mayResume: true,
    mayRecur: true,
    message: (vm) =>
      `The hypervisor failed at something; read libvirt's log, then let it go on with novactl vm resume ${vm}, or begin anew with novactl vm reset ${vm} before that`,
  },
  'guest-asleep': {
    reason: 'GuestAsleep',
    mayResume: true,
    message: (vm) => `The guest has put itself to sleep; wake it with novactl vm resume ${vm}`,
  },
};

export function pauseOf(
  reason: VmStateReason,
  definition: Pick<VmDefinition, 'spec'> | undefined,
): Pause {
  const pause = PAUSES[reason] ?? OTHER;
  const how = BY_ITSELF[reason];
  if (how === undefined || definition === undefined || !resumesByItself(definition)) return pause;
  return { ...pause, message: (vm) => `${pause.message(vm)}, or leave it: ${how}` };
}

/** Whether a VM that a disk error has paused is to go on without anybody's asking. */
export function resumesByItself({ spec }: Pick<VmDefinition, 'spec'>): boolean {
  return spec.template.spec.ioErrorResume === 'auto';
}

/** How one goes on whose spec wants that. */
const BY_ITSELF: Readonly<Partial<Record<VmStateReason, string>>> = {
  'no-space': 'it goes on by itself once there is room (ioErrorResume: auto)',
  'io-error': 'it is let go on again and again, later each time (ioErrorResume: auto)',
};

/** The same of a VM that is told of. */
function pauseOfVm({ reason }: Pick<Vm, 'reason'>): Pause {
  return Object.values(PAUSES).find((pause) => pause.reason === reason) ?? OTHER;
}

/** Whether what has paused a VM may pause it again as soon as it goes on. */
export function mayStopAgain(vm: Pick<Vm, 'phase' | 'reason'>): boolean {
  return vm.phase === 'paused' && pauseOfVm(vm).mayRecur === true;
}

/** Fails with VM_PAUSED for a VM that is on and stands still, for what only a VM can do that goes on. */
export function assertNotPaused({ definition, phase, reason, message }: Vm, purpose: string): void {
  // A start that goes on is in the way as such.
  if (phase !== 'paused' || reason === 'StartingUp') return;
  const { name, uid } = definition;
  throw new AgentError(
    'VM_PAUSED',
    `Cannot ${purpose} VM ${name}: it is on, but paused (${reason}). ${message}`,
    { metadata: { vmId: uid } },
  );
}

/** Fails with VM_BUSY for a VM that something holds still which has to end first. */
export function assertNotHeld(vm: Vm, purpose: string): void {
  const { definition, phase, reason, message } = vm;
  const isArriving = phase === 'migrating' && reason === 'Receiving';
  if (!isArriving && (phase !== 'paused' || pauseOfVm(vm).mayResume)) return;
  throw new AgentError('VM_BUSY', `Cannot ${purpose} VM ${definition.name} now. ${message}`, {
    metadata: { vmId: definition.uid },
    retryAfterMs: 1_000,
  });
}

/** Fails with VM_NOT_RUNNING for a VM that is off. */
export function assertOn({ definition, phase, message }: Vm, purpose: string): void {
  if (phase !== 'stopped' && phase !== 'failed') return;
  const why = message === '' ? '' : `. ${message}`;
  throw new AgentError(
    'VM_NOT_RUNNING',
    `Cannot ${purpose} VM ${definition.name}: it is off${why}`,
    {
      metadata: { vmId: definition.uid },
    },
  );
}
