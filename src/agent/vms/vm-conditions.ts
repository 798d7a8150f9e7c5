import { camelCase } from '../../core/camel-case.ts';
import { isReadOnly } from '../../core/resources/volume.ts';
import { volumesOf } from '../../core/resources/volumes-of.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { DriftedPart, HypervisorVm } from '../../drivers/hypervisor-domains.ts';

import type { Condition } from '../reports/report.ts';
import { type Lack, pastStartsText } from '../runs/restart-report.ts';
import { isHeld, wantedAct } from '../runs/run-strategies.ts';
import type { Aspect } from './condition-aspect.ts';
import { degraded } from './degraded-condition.ts';
import { type SharedDevice, sharedDevices } from './device-identities.ts';
import { type DiskDifference, differenceText } from './disk-difference.ts';
import { HOW_TO_MERGE } from './disks-changed.ts';
import { mayBePutBack } from './drift.ts';
import { howToMend, isDamaged, newerFieldsText } from './known-spec.ts';
import { isLive } from './pending-changes.ts';
import type { PendingChange } from './vm.ts';
import {
  isOff,
  type PhaseReport,
  type StartProblem,
  timeText,
  type VmContext,
} from './vm-phase.ts';
import { commandNameOf } from './vm-words.ts';

/** What the conditions of a VM are worked out from. */
export interface ConditionFacts {
  /** Whether there is more to its definition than what is recorded of it. */
  readonly isRead: boolean;
  readonly definition: VmDefinition;
  /** What it was started with, if that is another. */
  readonly liveDefinition?: VmDefinition | undefined;
  readonly state: PhaseReport;
  readonly context: VmContext;
  readonly pendingChanges: readonly PendingChange[];
  readonly drift: readonly DriftedPart[];
  readonly diskDifference?: DiskDifference | undefined;
  /** Its definition says that another host owns it. */
  readonly isStray: boolean;
  /** The node's hypervisor takes leases of disks, which other nodes heed. */
  readonly hasDiskLeases: boolean;
  /** Undefined if there is no channel for a guest agent. */
  readonly guestAgent?: HypervisorVm['guestAgent'];
  /** What it has of this host and cannot move with it, for people. */
  readonly boundDevices?: readonly string[] | undefined;
  /** Why some of its memory would be lost on the way. */
  readonly lossyMemory?: HypervisorVm['lossyMemory'];
  /** See `DeviceIdentities.problemOf`. */
  readonly deviceProblemOf?: ((path: string) => string) | undefined;
}

/** What must be known of a condition to tell since when it is so. */
export type KnownCondition = Pick<Condition, 'type' | 'status' | 'lastTransitionAtMs'>;

/** The conditions of a VM; a condition whose status did not change keeps its transition time. Those before if none has changed. */
export function conditionsOf(
  facts: ConditionFacts,
  previous: readonly KnownCondition[],
): readonly Condition[] {
  const isKnown = facts.isRead && !isDamaged(facts.definition);
  const ofDefinition = isKnown
    ? [specApplied(facts), liveMigratable(facts)]
    : [notRead('SpecApplied', facts), notRead('LiveMigratable', facts)];
  const aspects = [ready(facts), runStrategyFulfilled(facts), ...ofDefinition, migrating(facts)];
  aspects.push(paused(facts.state));
  const notKnown = findNotUnderstood(facts);
  if (notKnown !== undefined) aspects.push(notUnderstood(notKnown));
  if (facts.drift.length > 0) aspects.push(drifted(facts));
  else if (facts.diskDifference !== undefined) aspects.push(otherDisks(facts.diskDifference));
  const devices = sharedDevices(facts.definition).map(({ name }) => name);
  if (devices.length > 0) aspects.push(diskLock(facts, devices));
  const { startProblem } = facts.context;
  if (startProblem !== undefined && isOff(facts.state)) aspects.push(notStartable(startProblem));
  if (facts.isStray) aspects.push(strayCopy(facts.definition));
  if (facts.guestAgent !== undefined) aspects.push(guestAgentConnected(facts, facts.guestAgent));
  const since = ([type, status, reason, message]: Aspect): Condition => {
    const before = previous.find((candidate) => candidate.type === type);
    const lastTransitionAtMs = before?.status === status ? before.lastTransitionAtMs : Date.now();
    const observedGeneration = facts.definition.generation;
    return { type, status, reason, message, lastTransitionAtMs, observedGeneration };
  };
  const others = aspects.map(since);
  const conditions = [...others, since(degraded({ ...facts, conditions: others }))];
  return areSameConditions(conditions, previous) ? previous : conditions;
}

function areSameConditions(
  conditions: readonly Condition[],
  previous: readonly (KnownCondition | Condition)[],
): previous is readonly Condition[] {
  return (
    conditions.length === previous.length &&
    conditions.every((condition, index) => isSameCondition(condition, previous[index]))
  );
}

function isSameCondition(left: Condition, right: KnownCondition | Condition | undefined): boolean {
  return (
    right !== undefined &&
    'reason' in right &&
    left.type === right.type &&
    left.status === right.status &&
    left.reason === right.reason &&
    left.message === right.message &&
    left.lastTransitionAtMs === right.lastTransitionAtMs &&
    left.observedGeneration === right.observedGeneration
  );
}

/** Whether it is on and its processors stand still, and why. */
function paused({ phase, reason, message }: PhaseReport): Aspect {
  if (phase === 'unknown') return ['Paused', 'unknown', reason, message];
  if (phase === 'paused') return ['Paused', 'true', reason, message];
  // For a moment, in which its guest stands still on both nodes.
  if (reason === 'SwitchingOver') return ['Paused', 'true', 'Migration', message];
  return ['Paused', 'false', 'NotPaused', ''];
}

function ready({ state, context }: ConditionFacts): Aspect {
  const { phase, reason, message } = state;
  const isOn = phase === 'running' || phase === 'migrating';
  const status = phase === 'unknown' ? 'unknown' : isOn ? 'true' : 'false';
  const { nextStartMs } = context.restart ?? {};
  if (!isOff({ phase }) || nextStartMs === undefined) return ['Ready', status, reason, message];
  return ['Ready', status, reason, `${message}; starts again at ${clockText(nextStartMs)}`];
}

/** Whether it is on or off as its run strategy says, and otherwise what that waits for. */
function runStrategyFulfilled(facts: ConditionFacts): Aspect {
  const { definition, state, context } = facts;
  const type = 'RunStrategyFulfilled';
  if (state.phase === 'unknown') return [type, 'unknown', state.reason, state.message];
  if (state.phase === 'pending') return [type, 'false', state.reason, state.message];
  const vm = { definition, phase: state.phase, reason: state.reason, run: context.run };
  const act = wantedAct(vm);
  if (act === 'start') return [type, 'false', ...whyNotStarted(context)];
  if (act === 'shutdown') {
    return [
      type,
      'false',
      'ShuttingDown',
      'It runs and shall not, so its guest is asked to power off',
    ];
  }
  if (!isHeld(vm)) return [type, 'true', 'Fulfilled', ''];
  const message = `Its memory is saved in a file, and is kept until somebody starts it: novactl vm start ${commandNameOf(definition)}`;
  return [type, 'false', 'Saved', message];
}

const LACKS: Readonly<Record<Lack, readonly [reason: string, is: string]>> = {
  memory: ['WaitsForMemory', 'is memory'],
  cpus: ['WaitsForCpus', 'are CPUs of its own'],
  hugepages: ['WaitsForHugepages', 'are huge pages'],
};

function whyNotStarted({ isBusy, restart, isNodeGoingDown }: VmContext): readonly [string, string] {
  if (isBusy) return ['Starting', 'It is being started'];
  if (isNodeGoingDown)
    return [
      'NodeGoingDown',
      'It is started when its node has booted again, or its shutdown is called off',
    ];
  if (restart?.nextStartMs === undefined) return ['Starting', 'It is about to be started'];
  const past = pastStartsText(restart);
  const at = clockText(restart.nextStartMs);
  if (restart.lack !== undefined) {
    const [reason, is] = LACKS[restart.lack];
    return [reason, `Starts when there ${is} for it, and is tried again at ${at}${past}`];
  }
  if (restart.nextStartMs <= Date.now()) {
    return ['WaitsForTurn', `Starts when those that are older have been started${past}`];
  }
  return ['WaitsToRestart', `Starts again at ${at}${past}`];
}

/** Of what is soon, as people read it. */
function clockText(ms: number): string {
  return timeText(ms).slice('2000-01-01T'.length);
}

/** For what its definition would say. */
function notRead(type: string, { isRead, state }: ConditionFacts): Aspect {
  return [type, 'unknown', 'NotRead', isRead ? 'Its manifest cannot be read' : state.message];
}

/** What is done while the VM runs and is not yet. */
function liveText({ field, waitsFor, sinceMs, problem, lack }: PendingChange): string {
  if (problem !== undefined) return `${field}: ${problem.message}`;
  if (waitsFor !== 'guest' || sinceMs === undefined) return `${field}: about to be done`;
  const why = lack === undefined ? '' : ` (${lack})`;
  return `${field}: waits for the guest since ${clockText(sinceMs)}${why}`;
}

function specApplied({ pendingChanges }: ConditionFacts): Aspect {
  if (pendingChanges.length === 0) return ['SpecApplied', 'true', 'Applied', ''];
  const open = pendingChanges.filter(isLive);
  const waiting = pendingChanges.filter((change) => !isLive(change));
  const message = [
    ...open.map(liveText),
    ...(waiting.length === 0
      ? []
      : [`In force after the next start: ${waiting.map(({ field }) => field).join(', ')}`]),
  ].join('. ');
  const failed = open.some(({ problem }) => problem !== undefined);
  const ofGuest = open.some(({ waitsFor }) => waitsFor === 'guest') ? 'WaitsForGuest' : 'Changing';
  const reason = open.length === 0 ? 'WaitsForRestart' : failed ? 'ChangeFailed' : ofGuest;
  return ['SpecApplied', 'false', reason, message];
}

/** What a start would be refused for; reasons of conditions are written like `ImageNotFound`. */
function notStartable({ reason, message }: StartProblem): Aspect {
  return ['Startable', 'false', camelCase(reason), message];
}

const LOST_MEMORY = {
  growth:
    'Of memory that may become more (spec.template.spec.memory.max) QEMU before 9.0 loses changes on the way where it runs VMs without KVM; move it while it is off, or take memory.max out and restart it',
  hugepages:
    'Of memory in huge pages QEMU before 9.0 loses some on the way where it runs VMs without KVM; move it while it is off, or give it ordinary pages and restart it',
} as const;

/** What keeps the VM from being moved live to any node at all. */
function liveMigratable(facts: ConditionFacts): Aspect {
  const { definition, liveDefinition, deviceProblemOf = () => '', boundDevices = [] } = facts;
  const { migrationPolicy, template } = definition.spec;
  // What is pending is not what moves.
  const running = (liveDefinition ?? definition).spec.template.spec;
  if (migrationPolicy?.allowLiveMigration === false) {
    const message = 'spec.migrationPolicy.allowLiveMigration is false';
    return ['LiveMigratable', 'false', 'NotAllowed', message];
  }
  if (running.cpu?.dedicated === true) {
    return ['LiveMigratable', 'false', 'DedicatedCpus', 'It has CPUs of this node for itself'];
  }
  const nvmes = volumesOf(running).filter(({ bus }) => bus === 'nvme');
  if (nvmes.length > 0) {
    const names = nvmes.map(({ name }) => name).join(', ');
    const message = `QEMU cannot move NVMe disks: ${names}; put them on the bus virtio or scsi`;
    return ['LiveMigratable', 'false', 'NvmeDisk', message];
  }
  if (boundDevices.length > 0) {
    const message = `It has what cannot move with it: ${boundDevices.join(', ')}; detach that with "virsh detach-device", or move it while it is off`;
    return ['LiveMigratable', 'false', 'DeviceBound', message];
  }
  if (facts.lossyMemory !== undefined) {
    return ['LiveMigratable', 'false', 'MemoryLost', LOST_MEMORY[facts.lossyMemory]];
  }
  const local = volumesOf(template.spec).filter(
    (volume) => volume.shared !== true && !isReadOnly(volume),
  );
  if (local.length === 0) {
    const unclear = sharedDevices(definition).filter(({ path }) => deviceProblemOf(path) !== '');
    return unclear.length === 0
      ? ['LiveMigratable', 'true', 'Migratable', '']
      : notIdentified(unclear, deviceProblemOf);
  }
  const names = local.map(({ name }) => name).join(', ');
  const message = `On storage of this node alone: ${names}; put them on storage that all nodes reach and mark them shared`;
  return ['LiveMigratable', 'false', 'DiskLocal', message];
}

/** Only whoever knows that both nodes have the same device can have the VM moved. */
function notIdentified(
  devices: readonly SharedDevice[],
  problemOf: (path: string) => string,
): Aspect {
  const what = devices.map(({ name, path }) => `${name} (${path}: ${problemOf(path)})`).join(', ');
  const trust = devices.map(({ name }) => `--trust-shared ${name}`).join(' ');
  const message = `Another node cannot tell whether it has the same device: ${what}; if you know that it has, migrate with ${trust}`;
  return ['LiveMigratable', 'false', 'DiskNotIdentified', message];
}

/** Whether something keeps two nodes from writing to its block devices, beside the agents themselves. */
function diskLock({ hasDiskLeases }: ConditionFacts, devices: readonly string[]): Aspect {
  const names = devices.join(', ');
  if (hasDiskLeases) return ['DiskLock', 'true', 'Lease', `libvirt takes leases for ${names}`];
  const message = `No lock of ${names} holds between nodes, only the agents' ownership: QEMU's does on one node alone. Have libvirt take leases: set lock_manager in /etc/libvirt/qemu.conf to sanlock, or to lockd with a lockspace that the nodes share, and restart libvirt, the VM and the agent`;
  return ['DiskLock', 'false', 'None', message];
}

function migrating({ context }: ConditionFacts): Aspect {
  const { migration } = context;
  if (migration === undefined) return ['Migrating', 'false', 'NoMigration', ''];
  return ['Migrating', 'true', 'MigrationActive', `Migration ${migration.id}`];
}

function findNotUnderstood({ definition, liveDefinition: live }: ConditionFacts) {
  if (definition.newer !== undefined) return definition;
  // What is damaged in the run alone is whole again at the next start.
  return live?.newer === undefined || isDamaged(live) ? undefined : live;
}

function notUnderstood(definition: VmDefinition): Aspect {
  if (isDamaged(definition)) {
    const message = `The manifest that libvirt keeps with it is damaged and cannot be read. It can be started, stopped and moved, not changed; ${howToMend(definition)}`;
    return ['DamagedSpec', 'true', 'CannotBeRead', message];
  }
  const message = `A newer agent has given it what this one does not know: ${newerFieldsText(definition)}. It can be started, stopped and moved, not changed; upgrade this node's agent`;
  return ['NewerSpec', 'true', 'UnknownFields', message];
}

function drifted({ definition: { uid }, drift, diskDifference }: ConditionFacts): Aspect {
  const disks = diskDifference === undefined ? '' : ` (${differenceText(diskDifference)})`;
  const parts = `${drift.join(', ')}${disks}`;
  if (!mayBePutBack(drift)) {
    const message = `Somebody has changed its definition by other means than this agent: ${parts}. It is left as it is, as its data may be in the disks that it has now; compare its manifest with "virsh dumpxml --inactive ${uid}", then ${HOW_TO_MERGE}, or apply a manifest with these disks`;
    return ['Drifted', 'true', 'DisksChanged', message];
  }
  const message = `Somebody has changed its definition by other means than this agent: ${parts}. It is put back to what its manifest says; change the manifest instead`;
  return ['Drifted', 'true', 'DefinitionChanged', message];
}

/** What it has at its next start is what its manifest says, unless virsh has changed that as well. */
function otherDisks(difference: DiskDifference): Aspect {
  const message = `It has other disks than its spec, by other means than this agent: ${differenceText(difference)}. They are left as they are; take that back with virsh, or have the spec say it, before the VM is migrated`;
  return ['Drifted', 'true', 'OtherDisks', message];
}

function strayCopy({ owner }: VmDefinition): Aspect {
  const message = `Host ${owner} owns it by its definition. It is not started here. If virsh has migrated it here, it becomes this node's as soon as that host's agent can be asked; if it was started here, its power is cut once that agent says that the VM runs there; shut it down before`;
  return ['StrayCopy', 'true', 'OtherOwner', message];
}

function guestAgentConnected(
  { state: { phase, reason, message }, context }: ConditionFacts,
  guestAgent: NonNullable<HypervisorVm['guestAgent']>,
): Aspect {
  const type = 'GuestAgentConnected';
  const { guestProblem } = context;
  if (phase === 'unknown') return [type, 'unknown', reason, message];
  if (isOff({ phase })) return [type, 'false', 'NotRunning', 'The VM is off'];
  if (guestAgent === 'connected' && guestProblem !== undefined) {
    const said = `It has opened its channel, and was of no use when it was asked last: ${guestProblem.message}`;
    return [type, 'false', 'NotResponding', said];
  }
  if (guestAgent === 'connected') return [type, 'true', 'Connected', ''];
  const how =
    'No guest agent listens in the guest: it may still be booting; if it has none, install the package qemu-guest-agent in it and start it';
  return [type, 'false', 'NotConnected', how];
}
