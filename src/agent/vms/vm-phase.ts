import type { HypervisorVm, VmStateReason } from '../../drivers/hypervisor-domains.ts';
import type { MigrationSummary, Vm, VmPhase } from './vm.ts';

/** What the agent knows about a VM beside what the hypervisor says. */
export interface VmContext {
  /** The migration that takes it away; undefined if none. */
  readonly migration: MigrationSummary | undefined;
  readonly shutdownRequested: boolean;
}

export interface PhaseReport {
  readonly phase: VmPhase;
  readonly reason: string;
  readonly message: string;
}

type Cause = readonly [reason: string, message: string];

/** Why a VM runs, in one word for programs. */
const WHY_RUNNING: Readonly<Partial<Record<VmStateReason, Cause>>> = {
  booted: ['Booted', ''],
  migrated: ['Migrated', ''],
  restored: ['Restored', ''],
  'from-snapshot': ['FromSnapshot', ''],
  resumed: ['Unpaused', ''],
  'migration-cancelled': ['MigrationCancelled', ''],
  'save-cancelled': ['SaveCancelled', ''],
  woken: ['Woken', ''],
  crashed: ['GuestCrashed', 'The guest has crashed and its processors go on; read its console log'],
  postcopy: [
    'PostCopy',
    'It runs here while its memory still comes from its source; leave both nodes be',
  ],
  'postcopy-failed': [
    'PostCopyFailed',
    'It runs here, but the link to the rest of its memory is lost; mend the link between the nodes',
  ],
};

/** Why a VM stands still, and what to do about it. */
const WHY_PAUSED: Readonly<Partial<Record<VmStateReason, Cause>>> = {
  user: ['Suspended', 'Somebody has suspended it'],
  migration: ['Migration', 'It is stopped for the switchover of a migration'],
  saving: ['Saving', 'Its memory is being saved to a file'],
  dumping: ['Dumping', 'Its memory is being dumped to a file'],
  'io-error': [
    'IoError',
    'It was paused by a disk error; make room or repair the storage, then resume it',
  ],
  watchdog: ['Watchdog', "The guest's watchdog has stopped it; read its console log"],
  'from-snapshot': ['FromSnapshot', 'It was reverted to a snapshot and not started yet'],
  'shutting-down': ['ShuttingDown', 'It is being powered off'],
  snapshotting: ['Snapshotting', 'A snapshot of it is being taken'],
  crashed: ['GuestCrashed', 'The guest crashed; read its console log'],
  'starting-up': ['StartingUp', 'It is being started'],
  postcopy: [
    'PostCopy',
    'It runs on another node, which still fetches memory from here; leave it be',
  ],
  'postcopy-failed': [
    'PostCopyFailed',
    'The link over which another node fetches its memory is lost; mend the link between the nodes',
  ],
  'api-error': ['ApiError', "The hypervisor failed at something; read libvirt's log"],
  'guest-asleep': ['GuestAsleep', 'The guest has put itself to sleep; wake it from within'],
};

/** Why a VM is off. */
const WHY_STOPPED: Readonly<Partial<Record<VmStateReason, Cause>>> = {
  shutdown: ['Shutdown', ''],
  destroyed: ['Destroyed', ''],
  migrated: [
    'Migrated',
    'It was moved to another node by other means than this agent; it runs on there',
  ],
  saved: ['Saved', 'Its memory is saved in a file; a start goes on from there'],
  'from-snapshot': ['FromSnapshot', ''],
  'daemon-restarted': ['DaemonRestarted', 'libvirt lost sight of it when it restarted'],
};

const ENDED_UNEXPECTEDLY =
  'The hypervisor process ended unexpectedly; read its log in /var/log/libvirt/qemu on the node';

const UNKNOWN: Cause = ['', ''];

/** Where a VM stands, from what the hypervisor says and what the agent is doing to it. */
export function phaseOf(vm: HypervisorVm, context: VmContext): PhaseReport {
  const { stateReason } = vm;
  switch (vm.state) {
    case 'running':
      if (context.migration !== undefined) {
        return report('migrating', ['Copying', 'Its memory is being copied to another node']);
      }
      return context.shutdownRequested
        ? report('stopping', ['ShutdownRequested', 'The guest was asked to power off'])
        : report('running', WHY_RUNNING[stateReason] ?? ['Running', '']);
    case 'paused':
      if (context.migration !== undefined) {
        return report('migrating', ['SwitchingOver', 'It is being handed over to another node']);
      }
      return report('paused', WHY_PAUSED[stateReason] ?? UNKNOWN);
    case 'shutting-down':
      return report('stopping', ['ShuttingDown', 'The guest is powering off']);
    case 'crashed':
      return report('failed', ['GuestCrashed', 'The guest crashed; read its console log']);
    case 'stopped':
      if (stateReason === 'crashed') return report('failed', ['Crashed', ENDED_UNEXPECTEDLY]);
      if (stateReason === 'failed') return report('failed', ['Failed', ENDED_UNEXPECTEDLY]);
      return report('stopped', WHY_STOPPED[stateReason] ?? UNKNOWN);
    case 'incoming':
      return report('migrating', ['Receiving', 'Its memory is being received from another node']);
    default:
      return report('unknown', ['HypervisorUncertain', 'The hypervisor does not know its state']);
  }
}

/** Whether a QEMU runs it. */
export function isOn({ state }: HypervisorVm): boolean {
  return state !== 'stopped' && state !== 'crashed';
}

/** Whether no QEMU runs it; one that is unknown may be on. */
export function isOff({ phase }: Pick<Vm, 'phase'>): boolean {
  return phase === 'stopped' || phase === 'failed';
}

/** Whether its run goes on elsewhere, where somebody else than an agent has taken it, say virsh. */
export function wasMovedAway({ phase, reason, migration }: Vm): boolean {
  return phase === 'stopped' && reason === 'Migrated' && migration === undefined;
}

function report(phase: VmPhase, [reason, message]: Cause): PhaseReport {
  return { phase, reason, message };
}
