import { toDuration } from '../../client/time.ts';
import type { Duration } from '../../gen/google/protobuf/duration.ts';
import {
  type Migration as MigrationMessage,
  type MigrationProgress as MigrationProgressMessage,
  type MigrationResult as MigrationResultMessage,
  MigrationRole,
  type MigrationSpec as MigrationSpecMessage,
  MigrationPhase as PhaseNumber,
  type PlanMigrationResponse,
} from '../../gen/novacron/agent/v1/migration.ts';
import type {
  Migration,
  MigrationPlan,
  MigrationProgress,
  MigrationResult,
  MigrationSpec,
} from '../migration/migration.ts';
import type { MigrationPhase } from '../migration/states.ts';
import { fromRef, toOrigin, toRef } from './common-conversion.ts';
import { toUint32, toUint64 } from './count-conversion.ts';
import type { FieldChecks } from './field-checks.ts';
import { fromDuration, toTimestamp } from './time-conversion.ts';

const MAX_DOWNTIME_MS = 60_000;
// The longest that a timer of Node's can wait is just under 25 days.
const MAX_TIMEOUT_MS = 24 * 24 * 3_600_000;

const PHASE = {
  preparing: PhaseNumber.MIGRATION_PHASE_PREPARING,
  copying: PhaseNumber.MIGRATION_PHASE_COPYING,
  'switching-over': PhaseNumber.MIGRATION_PHASE_SWITCHING_OVER,
  'cleaning-up': PhaseNumber.MIGRATION_PHASE_CLEANING_UP,
  completed: PhaseNumber.MIGRATION_PHASE_COMPLETED,
  failed: PhaseNumber.MIGRATION_PHASE_FAILED,
  cancelled: PhaseNumber.MIGRATION_PHASE_CANCELLED,
} as const satisfies Record<MigrationPhase, PhaseNumber>;

const ROLE = {
  source: MigrationRole.MIGRATION_ROLE_SOURCE,
  destination: MigrationRole.MIGRATION_ROLE_DESTINATION,
} as const;

export function fromMigrationSpec(
  message: MigrationSpecMessage | undefined,
  checks: FieldChecks,
): MigrationSpec {
  const spec = checks.required('spec', message);
  const destination = spec && checks.required('spec.destination', spec.destination);
  const { address = '', nodeName = '' } = destination ?? {};
  const policy = spec?.policy;
  return {
    vm: spec
      ? fromRef(spec.virtualMachine, 'spec.virtual_machine', checks)
      : { namespace: '', name: '', uid: undefined },
    destinationNode: destination ? checks.dnsName('spec.destination.node_name', nodeName) : '',
    destinationAddress:
      address === '' ? undefined : checks.hostPort('spec.destination.address', address),
    maxDowntimeMs: fromPolicyDuration(
      policy?.maxDowntime,
      'spec.policy.max_downtime',
      MAX_DOWNTIME_MS,
      checks,
    ),
    bandwidthBytesPerSecond: checks.count(
      'spec.policy.bandwidth_bytes_per_second',
      policy?.bandwidthBytesPerSecond ?? 0n,
    ),
    timeoutMs: fromPolicyDuration(policy?.timeout, 'spec.policy.timeout', MAX_TIMEOUT_MS, checks),
  };
}

/** Whole milliseconds, rounded up so that a short limit does not become none. */
function fromPolicyDuration(
  message: Duration | undefined,
  field: string,
  maxMs: number,
  checks: FieldChecks,
): number | undefined {
  if (message === undefined) return undefined;
  const durationMs = fromDuration(message);
  if (durationMs !== undefined && durationMs >= 1 && durationMs <= maxMs) {
    return Math.ceil(durationMs);
  }
  checks.add(field, `must be from 0.001s to ${maxMs / 1_000}s`);
  return undefined;
}

export function toMigration(migration: Migration): MigrationMessage {
  return {
    id: migration.id,
    spec: toMigrationSpec(migration.spec),
    status: {
      phase: PHASE[migration.phase],
      role: ROLE[migration.role],
      sourceNode: migration.sourceNode,
      destinationNode: migration.destinationNode,
      reason: migration.reason ?? '',
      message: migration.message,
      startTime: toTimestamp(migration.startedAtMs),
      endTime: migration.endedAtMs === undefined ? undefined : toTimestamp(migration.endedAtMs),
      progress: toProgress(migration.progress),
      result: migration.result && toResult(migration.result),
      phases: migration.phases.map(({ phase, startedAtMs }) => ({
        phase: PHASE[phase],
        startTime: toTimestamp(startedAtMs),
      })),
      origin: toOrigin(migration.origin),
      transport: migration.transport,
    },
  };
}

function toMigrationSpec(spec: MigrationSpec): MigrationSpecMessage {
  return {
    virtualMachine: toRef(spec.vm),
    destination: { nodeName: spec.destinationNode, address: spec.destinationAddress ?? '' },
    policy: {
      maxDowntime: optionalDuration(spec.maxDowntimeMs),
      bandwidthBytesPerSecond: toUint64(spec.bandwidthBytesPerSecond),
      timeout: optionalDuration(spec.timeoutMs),
    },
  };
}

function toProgress(progress: MigrationProgress): MigrationProgressMessage {
  return {
    memoryTotalBytes: toUint64(progress.memoryTotalBytes),
    memoryProcessedBytes: toUint64(progress.memoryProcessedBytes),
    memoryRemainingBytes: toUint64(progress.memoryRemainingBytes),
    memoryBytesPerSecond: toUint64(progress.memoryBytesPerSecond),
    dirtyBytesPerSecond: toUint64(progress.dirtyBytesPerSecond),
    iteration: toUint32(progress.iteration),
    wireBytes: toUint64(progress.wireBytes),
    estimatedTimeLeft: optionalDuration(progress.estimatedMsLeft),
    fractionDone: progress.fractionDone,
    stalled: toDuration(progress.stalledMs),
  };
}

function toResult(result: MigrationResult): MigrationResultMessage {
  return {
    totalTime: toDuration(result.totalMs),
    downtime: toDuration(result.downtimeMs),
    memoryProcessedBytes: toUint64(result.memoryProcessedBytes),
    wireBytes: toUint64(result.wireBytes),
    iterations: toUint32(result.iterations),
    reconnects: toUint32(result.reconnects),
  };
}

export function toPlan(plan: MigrationPlan): PlanMigrationResponse {
  return {
    blockers: plan.blockers.map((blocker) => ({ ...blocker })),
    transport: plan.transport,
    memoryBytes: toUint64(plan.memoryBytes),
  };
}

function optionalDuration(milliseconds: number | undefined): Duration | undefined {
  return milliseconds === undefined ? undefined : toDuration(milliseconds);
}
