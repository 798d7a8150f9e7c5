import type { Reason } from '../../core/errors.ts';
import { type HypervisorVm, type VmStateReason } from '../../drivers/hypervisor-domains.ts';
import type { GuestProblem } from '../../drivers/hypervisor-guest-agent.ts';
import type { RestartReport } from '../runs/restart-report.ts';
import { endKind, type RunEndCause } from '../runs/run-ends.ts';
import type { RunEnd, RunRecord } from '../runs/run-record.ts';
import type { Unconfirmed } from './ownership-store.ts';
import type { MigrationSummary, Vm, VmPhase } from './vm.ts';
import { pauseOf } from './vm-pauses.ts';
import { commandNameOf } from './vm-words.ts';

/** Why a VM that is off could not be started. */
export interface StartProblem {
  readonly reason: Reason;
  readonly message: string;
}

/** What the agent knows about a VM beside what the hypervisor says. */
export interface VmContext {
  /** The migration that takes it away; undefined if none. */
  readonly migration: MigrationSummary | undefined;
  /** Its guest was asked to power off and is waited for. */
  readonly isShuttingDown: boolean;
  /** Something is being done to it. */
  readonly isBusy: boolean;
  /** The last that was asked for is that its guest powers off, and it has not. */
  readonly ignoresShutdown: boolean;
  /** How it has run; undefined if nothing is known. */
  readonly run: RunRecord | undefined;
  /** How it fares with being started again; undefined if it is well. */
  readonly restart: RestartReport | undefined;
  /** The host is about to go down, and all guests are asked to power off. */
  readonly isNodeGoingDown: boolean;
  /** Why its guest agent was of no use when it was asked last; undefined if it was. */
  readonly guestProblem?: GuestProblem | undefined;
  /** Why it could not be started if it is off; undefined if nothing is known to be in the way. */
  readonly startProblem: StartProblem | undefined;
  /** Which node has not said that it has given it up; undefined if none is waited for. */
  readonly unconfirmed: Unconfirmed | undefined;
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
    'It runs here, but the link to the rest of its memory is lost; mend the link between the nodes; if that node is off for good: novactl migration settle ID --node-is-off NODE (novactl migration list has both)',
  ],
};

/** When these were first seen says nothing. */
const UNDATED: readonly RunEndCause[] = ['never-started', 'no-record'];

const NODE_SHUTTING_DOWN: Cause = [
  'NodeShuttingDown',
  'Its node is being shut down: the guest was asked to power off, and its power is cut at the deadline',
];

/** Where a VM stands, from what the hypervisor says and what the agent is doing to it. */
export function phaseOf(vm: HypervisorVm, context: VmContext): PhaseReport {
  switch (vm.state) {
    case 'running':
      if (context.migration !== undefined) {
        const copying = ['Copying', 'Its memory is being copied to another node'] as const;
        return report('migrating', waitOf(context.migration) ?? copying);
      }
      if (context.isShuttingDown) {
        return report('stopping', ['ShutdownRequested', 'The guest was asked to power off']);
      }
      if (context.isNodeGoingDown && isWell(vm)) return report('stopping', NODE_SHUTTING_DOWN);
      return report('running', whyRunning(vm, context));
    case 'paused':
      if (context.migration !== undefined) {
        const switching = ['SwitchingOver', 'It is being handed over to another node'] as const;
        return report('migrating', waitOf(context.migration) ?? switching);
      }
      return report('paused', whyPaused(vm));
    case 'shutting-down':
      return report('stopping', ['ShuttingDown', 'The guest is powering off']);
    case 'crashed':
    case 'stopped':
      return whyOff(vm, context.run?.end);
    case 'incoming':
      return report('migrating', ['Receiving', 'Its memory is being received from another node']);
    default:
      return report('unknown', ['HypervisorUncertain', 'The hypervisor does not know its state']);
  }
}

/** Whether no QEMU runs it; one that is unknown may be on. */
export function isOff({ phase }: Pick<Vm, 'phase'>): boolean {
  return phase === 'stopped' || phase === 'failed';
}

/** Whether it is off and its guest's memory is in a file, from which its next start goes on. */
export function isSaved({ phase, reason }: Pick<Vm, 'phase' | 'reason'>): boolean {
  return phase === 'stopped' && reason === 'Saved';
}

/** Whether its run goes on elsewhere, where somebody else than an agent has taken it, say virsh. */
export function wasMovedAway({ phase, reason, migration }: Vm): boolean {
  return phase === 'stopped' && reason === 'Migrated' && migration === undefined;
}

/** Whether there is nothing about its run that is worse than its end. */
function isWell({ stateReason }: HypervisorVm): boolean {
  return (WHY_RUNNING[stateReason]?.[1] ?? '') === '';
}

/** What its migration waits for; undefined while that goes on. */
function waitOf({ waitsFor, isQueued }: MigrationSummary): Cause | undefined {
  if (waitsFor === '') return undefined;
  return [isQueued ? 'WaitingForTurn' : 'WaitingForNode', waitsFor];
}

function whyPaused({ definition, hypervisorName, stateReason }: HypervisorVm): Cause {
  const { reason, message } = pauseOf(stateReason, definition);
  return [reason, message(definition === undefined ? hypervisorName : commandNameOf(definition))];
}

function whyRunning({ definition, stateReason }: HypervisorVm, context: VmContext): Cause {
  const why = WHY_RUNNING[stateReason] ?? ['Running', ''];
  // What it suffers from is more than who wants it.
  if (why[1] !== '' || definition?.intent !== 'off' || context.isBusy) return why;
  const name = commandNameOf(definition);
  // Nobody here has seen it come on; a migration brings along what was asked for on its last node.
  const isFoundOn = stateReason === 'migrated' || (context.run?.sinceMs ?? 0) === 0;
  if (context.ignoresShutdown || isFoundOn) {
    return [
      'GuestDidNotStop',
      `It was last asked to be off, and its guest runs on; see what it says with novactl vm log ${name}, ask again, or cut its power with novactl vm destroy ${name}`,
    ];
  }
  return [
    'StartedByOther',
    `It was started by other means than this agent, and shall be off by the last that was asked of it; say that it shall run with novactl vm start ${name}, or end it with novactl vm shutdown ${name}`,
  ];
}

function whyOff({ hypervisorName, state }: HypervisorVm, end?: RunEnd): PhaseReport {
  const cause = end?.cause ?? (state === 'crashed' ? 'guest-crashed' : 'no-record');
  const { phase, reason } = endKind(cause);
  const message = endText(cause, end?.by ?? '', hypervisorName);
  const seen = end === undefined || UNDATED.includes(cause) ? '' : ` (${timeText(end.atMs)})`;
  return report(phase, [reason, `${message}${seen}`]);
}

/** How a run has ended, in a sentence; `by` is who asked for it, empty if nobody did. */
export function endText(cause: RunEndCause, by: string, hypervisorName: string): string {
  return endKind(cause).message({ by, log: `/var/log/libvirt/qemu/${hypervisorName}.log` });
}

/** As people and programs read it, to the second. */
export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}

function report(phase: VmPhase, [reason, message]: Cause): PhaseReport {
  return { phase, reason, message };
}
