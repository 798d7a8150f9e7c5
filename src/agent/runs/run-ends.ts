import type { VmStateReason } from '../../drivers/hypervisor-domains.ts';

/** What a message about the end of a run may name. */
interface EndDetails {
  /** Who asked for it; empty if that is not known. */
  readonly by: string;
  /** QEMU's log. */
  readonly log: string;
}

interface EndKind {
  /** For programs, in one word: the status has it, and docs/api.md says what to do about each. */
  readonly reason: string;
  readonly phase: 'stopped' | 'failed';
  /** What the hypervisor says of it, for as long as it remembers. */
  readonly stateReason: VmStateReason;
  /** Whether it counts as a failure, after which RerunOnFailure starts the VM again. */
  readonly isFailure: boolean;
  readonly message: (details: EndDetails) => string;
}

/** How the last run of a VM has ended, or why there was none: each cause that is told apart. */
export const RUN_ENDS = {
  'never-started': {
    reason: 'NeverStarted',
    phase: 'stopped',
    stateReason: 'unknown',
    isFailure: true,
    message: () => 'It has not been started yet',
  },
  'no-record': {
    reason: 'NoRecord',
    phase: 'stopped',
    stateReason: 'unknown',
    isFailure: false,
    message: () =>
      'Neither this agent nor libvirt knows how its last run has ended, or whether it ever ran here; start it if it shall run',
  },
  'guest-shutdown': {
    reason: 'GuestShutdown',
    phase: 'stopped',
    stateReason: 'shutdown',
    isFailure: false,
    message: () =>
      'Its guest powered off, and not because this agent was asked to have it do so; its console log may say why',
  },
  shutdown: {
    reason: 'Shutdown',
    phase: 'stopped',
    stateReason: 'shutdown',
    isFailure: false,
    message: ({ by }) => `Its guest powered off as ${by || 'a caller of this agent'} wanted it to`,
  },
  'shutdown-superseded': {
    reason: 'ShutdownSuperseded',
    phase: 'stopped',
    stateReason: 'shutdown',
    isFailure: true,
    message: ({ by }) =>
      `Its guest powered off as ${by || 'a caller of this agent'} had wanted it to before a start took that back`,
  },
  destroyed: {
    reason: 'Destroyed',
    phase: 'stopped',
    stateReason: 'destroyed',
    isFailure: false,
    message: ({ by }) => `Its power was cut as ${by || 'a caller of this agent'} wanted it`,
  },
  'destroyed-by-other': {
    reason: 'DestroyedByOther',
    phase: 'stopped',
    stateReason: 'destroyed',
    isFailure: false,
    message: () =>
      'Its power was cut by other means than this agent, such as virsh destroy; ask who works on the node',
  },
  'node-shutdown': {
    reason: 'NodeShutdown',
    phase: 'stopped',
    stateReason: 'shutdown',
    isFailure: true,
    message: ({ by }) => `Its guest powered off as its node was shut down by ${by || 'a caller'}`,
  },
  'node-shutdown-power-cut': {
    reason: 'NodeShutdownPowerCut',
    phase: 'stopped',
    stateReason: 'destroyed',
    isFailure: true,
    message: ({ by }) =>
      `Its power was cut as its node was shut down by ${by || 'a caller'}, at the deadline: its guest did not power off in time`,
  },
  terminated: {
    reason: 'Terminated',
    phase: 'failed',
    stateReason: 'shutdown',
    isFailure: true,
    message: ({ log }) =>
      `Its QEMU was told by the node to end, and not by its guest; ${log} on the node names the process that sent the signal`,
  },
  crashed: {
    reason: 'Crashed',
    phase: 'failed',
    stateReason: 'crashed',
    isFailure: true,
    message: ({ log }) =>
      `Its QEMU ended unexpectedly or was killed; read ${log} on the node, and whether its kernel ran out of memory`,
  },
  'start-failed': {
    reason: 'StartFailed',
    // It is off as it was before.
    phase: 'stopped',
    stateReason: 'failed',
    isFailure: true,
    message: ({ log }) =>
      `It is off: libvirt could not start it the last time that was asked for; the operation has the error, and ${log} on the node may have more`,
  },
  'guest-crashed': {
    reason: 'GuestCrashed',
    phase: 'failed',
    // Of the state "crashed", in which it is not stopped.
    stateReason: 'unknown',
    isFailure: true,
    message: () => 'The guest crashed; read its console log',
  },
  'daemon-restarted': {
    reason: 'DaemonRestarted',
    phase: 'stopped',
    stateReason: 'daemon-restarted',
    isFailure: true,
    message: ({ log }) =>
      `libvirt ended it, as it could not take it up again when it was restarted; read libvirt's log and ${log} on the node`,
  },
  'node-rebooted': {
    reason: 'NodeRebooted',
    phase: 'stopped',
    stateReason: 'unknown',
    isFailure: true,
    message: () =>
      "It ran when its node went down; the node's journal of that boot may say why (journalctl -b -1)",
  },
  'not-seen': {
    reason: 'EndNotSeen',
    phase: 'stopped',
    stateReason: 'unknown',
    isFailure: true,
    message: ({ log }) =>
      `It ran when it was last seen, and neither this agent nor libvirt saw how that ended; read ${log} on the node, and its console log`,
  },
  saved: {
    reason: 'Saved',
    phase: 'stopped',
    stateReason: 'saved',
    isFailure: false,
    message: () => 'Its memory is saved in a file; a start goes on from there',
  },
  migrated: {
    reason: 'Migrated',
    phase: 'stopped',
    stateReason: 'migrated',
    isFailure: false,
    message: () => 'It was moved to another node by other means than this agent; it runs on there',
  },
  'from-snapshot': {
    reason: 'FromSnapshot',
    phase: 'stopped',
    stateReason: 'from-snapshot',
    isFailure: false,
    message: () => 'Somebody has put it back to a snapshot in which it was off',
  },
} as const satisfies Readonly<Record<string, EndKind>>;

export type RunEndCause = keyof typeof RUN_ENDS;

export function isRunEndCause(word: string): word is RunEndCause {
  return Object.hasOwn(RUN_ENDS, word);
}

export function endKind(cause: RunEndCause): EndKind {
  return RUN_ENDS[cause];
}
