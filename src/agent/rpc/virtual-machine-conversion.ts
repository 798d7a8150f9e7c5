import { toVirtualMachineMessage } from '../../client/resource-messages.ts';
import { isEjected } from '../../core/ejected-media.ts';
import type { LogFields } from '../../core/logger.ts';
import { madeDiskOf } from '../../core/made-disks.ts';
import { formatBytesQuantity, formatMilliCpus } from '../../core/quantity.ts';
import { shownSource } from '../../core/resources/image-source.ts';
import { withoutUserData } from '../../core/user-data.ts';
import {
  type ApplyVirtualMachineResponse,
  ChangeEffect,
  type FieldChange as FieldChangeMessage,
  ApplyOutcome as Outcome,
  type VirtualMachine,
} from '../../gen/novacron/agent/v1/virtual_machine.ts';
import type { Operation } from '../operations/operation.ts';
import type { RestartReport } from '../runs/restart-report.ts';
import { isDamaged } from '../vms/known-spec.ts';
import type {
  ApplyResult,
  FieldChange,
  PendingChange,
  Vm,
  VmPhase,
  VmRef,
  VmUsage,
} from '../vms/vm.ts';
import { toOperation } from './operation-conversion.ts';

type VmDocument = Parameters<typeof toVirtualMachineMessage>[0];
type StatusDocument = NonNullable<VmDocument['status']>;

const MIB = 2 ** 20;

const PHASE = {
  pending: 'Pending',
  running: 'Running',
  paused: 'Paused',
  stopping: 'Stopping',
  stopped: 'Stopped',
  migrating: 'Migrating',
  failed: 'Failed',
  unknown: 'Unknown',
} as const satisfies Record<VmPhase, StatusDocument['phase']>;

const CONDITION_STATUS = { true: 'True', false: 'False', unknown: 'Unknown' } as const;

const OUTCOME = {
  created: Outcome.APPLY_OUTCOME_CREATED,
  changed: Outcome.APPLY_OUTCOME_CHANGED,
  unchanged: Outcome.APPLY_OUTCOME_UNCHANGED,
} as const;

const EFFECT = {
  now: ChangeEffect.CHANGE_EFFECT_NOW,
  'next-start': ChangeEffect.CHANGE_EFFECT_NEXT_START,
  live: ChangeEffect.CHANGE_EFFECT_LIVE,
} as const;

export function toVirtualMachine(vm: Vm): VirtualMachine {
  const { definition } = vm;
  // What stands in for a manifest that cannot be read is nobody's wish.
  const isRead = vm.isRead && !isDamaged(definition);
  return toVirtualMachineMessage({
    metadata: {
      name: definition.name,
      namespace: definition.namespace,
      uid: definition.uid,
      labels: definition.labels,
      annotations: definition.annotations,
      generation: definition.generation,
      creationTimestamp: isRead ? new Date(definition.createdAtMs).toISOString() : undefined,
    },
    // No definition has user data; if one did, they would still be shown to nobody.
    spec: isRead ? withoutUserData(definition.spec) : undefined,
    status: toStatus(vm),
  });
}

function toStatus(vm: Vm): StatusDocument {
  const { definition, migration, origin, statistics } = vm;
  return {
    phase: PHASE[vm.phase],
    reason: vm.reason,
    message: vm.message,
    nodeName: origin.nodeName,
    ipAddresses: [],
    resources: statistics && toUsage(statistics),
    conditions: vm.conditions.map(({ lastTransitionAtMs, status, ...condition }) => ({
      ...condition,
      status: CONDITION_STATUS[status],
      lastTransitionTime: new Date(lastTransitionAtMs).toISOString(),
    })),
    migration: migration && {
      id: migration.id,
      targetNode: migration.targetNode,
      startTime: new Date(migration.startedAtMs).toISOString(),
      progress: Math.floor(migration.fractionDone * 100),
    },
    observedGeneration: definition.generation,
    pendingFields: vm.pendingChanges.map(({ field }) => field),
    pendingChanges: vm.pendingChanges.map(toPendingChange),
    ownershipEpoch: definition.ownershipEpoch,
    accelerator: vm.accelerator ?? '',
    machineType: vm.machineType,
    statistics: statistics && toStatistics(statistics),
    volumes: vm.volumes.map((volume) => toVolume(vm, volume)),
    interfaces: vm.interfaces.map((one) => ({
      ...one,
      bridge: one.bridge ?? '',
      hostDevice: one.hostDevice ?? '',
    })),
    kept: [...(vm.kept ?? [])],
    ...given(vm),
    restart: vm.restart && toRestart(vm.restart),
    ...runningSince(vm),
    origin: { ...origin },
  };
}

function inMib(bytes: number): string {
  return formatBytesQuantity(BigInt(Math.floor(bytes / MIB) * MIB));
}

/** In whole MiB: a block of odd size is a little larger than what was asked for. */
function given({ sizes, statistics, pendingChanges }: Vm): Pick<StatusDocument, 'given'> {
  if (sizes === undefined) return {};
  const online = pendingChanges.find(({ cpusOnline }) => cpusOnline !== undefined);
  return {
    given: {
      cpus: sizes.vcpus.given,
      ...(online?.cpusOnline !== undefined && { cpusOnline: online.cpusOnline }),
      memory: inMib(sizes.memory.givenBytes),
      memoryActual: statistics === undefined ? '' : inMib(statistics.memoryActualBytes),
    },
  };
}

function toVolume(
  { definition, statistics, diskSizes }: Vm,
  { name, target, path = '', format }: Vm['volumes'][number],
): NonNullable<StatusDocument['volumes']>[number] {
  const volumes = definition.spec.template.spec.volumes ?? [];
  const wanted = volumes.find((volume) => volume.name === name);
  const ejected = wanted !== undefined && isEjected(definition, wanted);
  const sizes = (statistics?.disks ?? diskSizes)?.find((one) => one.target === target);
  return {
    name,
    target,
    path,
    format,
    ...(ejected && { ejected }),
    ...madeFields(definition, name, path),
    ...(sizes && {
      virtualSize: formatBytesQuantity(BigInt(sizes.virtualBytes)),
      allocated: formatBytesQuantity(BigInt(sizes.allocatedBytes)),
    }),
  };
}

function madeFields({ madeDisks }: Vm['definition'], name: string, path: string) {
  const made = madeDiskOf(madeDisks, name);
  if (made?.path !== path) return {};
  const size = formatBytesQuantity(BigInt(made.bytes));
  if (made.image === undefined) return { size };
  const { source, digest } = made.image;
  return { size, imageSource: shownSource(source), imageDigest: digest };
}

function runningSince({ phase, runningSinceMs }: Vm): Pick<StatusDocument, 'runningSince'> {
  if (runningSinceMs === undefined || phase === 'unknown') return {};
  return { runningSince: new Date(runningSinceMs).toISOString() };
}

function toRestart({ attempts, failedStarts, nextStartMs, lastFailure }: RestartReport) {
  const counts = { attempts, failedStarts, lastFailure };
  if (nextStartMs === undefined) return counts;
  return { ...counts, nextStartTime: new Date(nextStartMs).toISOString() };
}

function toUsage(usage: VmUsage): NonNullable<StatusDocument['resources']> {
  return {
    cpu: {
      used: formatMilliCpus(Math.round(usage.cpuUsageCores * 1000)),
      available: formatMilliCpus(usage.vcpus * 1000),
    },
    memory: {
      used: formatMebibytes(usage.memoryRssBytes),
      available: formatMebibytes(usage.memoryActualBytes),
    },
  };
}

/** For people, who want no pages; the statistics have every byte. */
function formatMebibytes(bytes: number): string {
  return formatBytesQuantity(BigInt(Math.ceil(bytes / MIB)) * BigInt(MIB));
}

function toStatistics(usage: VmUsage): NonNullable<StatusDocument['statistics']> {
  return {
    cpuTimeNs: Number(usage.cpuTimeNs),
    cpuUsageCores: usage.cpuUsageCores,
    vcpus: usage.vcpus,
    memoryActualBytes: usage.memoryActualBytes,
    memoryRssBytes: usage.memoryRssBytes,
    diskReadBytes: Number(usage.diskReadBytes),
    diskWriteBytes: Number(usage.diskWriteBytes),
    networkReceiveBytes: Number(usage.networkReceiveBytes),
    networkTransmitBytes: Number(usage.networkTransmitBytes),
  };
}

/** What came of it is not known where the operation was begun by an earlier call. */
export function toApplyResponse(
  result: Omit<ApplyResult, 'vm' | 'outcome'> & {
    readonly vm: Vm | undefined;
    readonly outcome: ApplyResult['outcome'] | undefined;
  },
  operation: Operation | undefined,
): ApplyVirtualMachineResponse {
  const { vm, outcome } = result;
  return {
    virtualMachine: vm && toVirtualMachine(vm),
    outcome: outcome === undefined ? Outcome.APPLY_OUTCOME_UNSPECIFIED : OUTCOME[outcome],
    changes: result.changes.map(toFieldChange),
    warnings: [...result.warnings],
    operation: operation && toOperation(operation),
  };
}

function toFieldChange({ field, before, after, effect }: FieldChange): FieldChangeMessage {
  return { field, before: toJson(before), after: toJson(after), effect: EFFECT[effect] };
}

/** A message can carry no keys without a value. */
function toPendingChange({ field, live, wanted, waitsFor, sinceMs, problem, lack }: PendingChange) {
  const [plainLive, plainWanted] = [live, wanted].map((value): unknown =>
    value === undefined ? undefined : JSON.parse(JSON.stringify(value)),
  );
  const since =
    waitsFor === 'guest' && sinceMs !== undefined ? new Date(sinceMs).toISOString() : undefined;
  return {
    field,
    live: plainLive,
    wanted: plainWanted,
    waitsFor,
    since,
    message: problem?.message ?? lack ?? '',
  };
}

function toJson(value: unknown): string {
  return value === undefined ? '' : JSON.stringify(value);
}

/** How a VM is named in the log. */
export function vmFields({ namespace, name, uid }: VmRef): LogFields {
  return { vm: `${namespace}/${name}`, ...(uid === undefined ? {} : { vmId: uid }) };
}
