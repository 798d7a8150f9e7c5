import { formatBitRate, parseBitRate } from '../../core/quantity.ts';
import {
  MigrationImageVerdict,
  type Migration as MigrationMessage,
  MigrationMode,
  MigrationRole,
  type MigrationSpec as MigrationSpecMessage,
  MigrationPhase as PhaseNumber,
  type PlanMigrationResponse,
  type WatchMigrationsResponse,
} from '../../gen/novacron/agent/v1/migration.ts';
import type {
  Migration,
  MigrationImage,
  MigrationPlan,
  MigrationSpec,
} from '../migration/migration.ts';
import type { MigrationPhase } from '../migration/states.ts';
import type { WatchEvent } from '../reports/report.ts';
import { fromRef, toEventType, toOrigin, toRef } from './common-conversion.ts';
import { toUint64 } from './count-conversion.ts';
import type { FieldChecks } from './field-checks.ts';
import { optionalDuration, toProgress, toResult } from './figure-conversion.ts';
import { fromBoundedDuration, toTimestamp } from './time-conversion.ts';

// A VM has far fewer volumes.
const MAX_TRUSTED = 256;
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

const VERDICT = {
  same: MigrationImageVerdict.MIGRATION_IMAGE_VERDICT_SAME,
  trusted: MigrationImageVerdict.MIGRATION_IMAGE_VERDICT_TRUSTED,
  different: MigrationImageVerdict.MIGRATION_IMAGE_VERDICT_DIFFERENT,
  unknown: MigrationImageVerdict.MIGRATION_IMAGE_VERDICT_UNKNOWN,
} as const satisfies Record<MigrationImage['verdict'], MigrationImageVerdict>;

const MODE = {
  precopy: MigrationMode.MIGRATION_MODE_PRE_COPY,
  postcopy: MigrationMode.MIGRATION_MODE_POST_COPY,
} as const;

export function fromMigrationSpec(
  message: MigrationSpecMessage | undefined,
  checks: FieldChecks,
): MigrationSpec {
  const spec = checks.required('spec', message);
  const destination = spec && checks.required('spec.destination', spec.destination);
  const { address = '', nodeName = '' } = destination ?? {};
  const limits = spec?.limits;
  return {
    vm: spec
      ? fromRef(spec.virtualMachine, 'spec.virtualMachine', checks)
      : { namespace: '', name: '', uid: undefined },
    destinationNode: destination ? checks.dnsName('spec.destination.nodeName', nodeName) : '',
    destinationAddress:
      address === '' ? undefined : checks.hostPort('spec.destination.address', address),
    maxDowntimeMs: fromBoundedDuration(
      limits?.maxDowntime,
      'spec.limits.maxDowntime',
      { minMs: 1, maxMs: MAX_DOWNTIME_MS },
      checks,
    ),
    bandwidthBitsPerSecond: fromBitRate(limits?.bandwidth, 'spec.limits.bandwidth', checks),
    timeoutMs: fromBoundedDuration(
      limits?.timeout,
      'spec.limits.timeout',
      { minMs: 1, maxMs: MAX_TIMEOUT_MS },
      checks,
    ),
    trustedVolumes: fromTrustShared(spec?.trustShared ?? [], checks),
  };
}

/** Names of volumes or guest devices, each once. */
function fromTrustShared(names: readonly string[], checks: FieldChecks): readonly string[] {
  if (names.length > MAX_TRUSTED) checks.add('spec.trustShared', `must be at most ${MAX_TRUSTED}`);
  for (const [index, name] of names.entries()) {
    checks.dnsLabel(`spec.trustShared[${index}]`, name);
  }
  return [...new Set(names)];
}

function fromBitRate(
  text: string | undefined,
  field: string,
  checks: FieldChecks,
): number | undefined {
  if (text === undefined || text === '') return undefined;
  const bits = parseBitRate(text);
  if (bits === undefined) checks.add(field, 'must be bits a second, such as 1Gbps or 250Mbps');
  if (bits === 0) checks.add(field, 'must be more than 0; leave it out for no limit of its own');
  return bits;
}

export function toMigration(migration: Migration): MigrationMessage {
  return {
    id: migration.id,
    labels: { ...migration.labels },
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
      mode: MODE[migration.mode],
    },
  };
}

function toMigrationSpec(spec: MigrationSpec): MigrationSpecMessage {
  return {
    virtualMachine: toRef(spec.vm),
    destination: { nodeName: spec.destinationNode, address: spec.destinationAddress ?? '' },
    limits: {
      maxDowntime: optionalDuration(spec.maxDowntimeMs),
      bandwidth:
        spec.bandwidthBitsPerSecond === undefined
          ? undefined
          : formatBitRate(spec.bandwidthBitsPerSecond),
      timeout: optionalDuration(spec.timeoutMs),
    },
    trustShared: [...(spec.trustedVolumes ?? [])],
  };
}

export function toWatchMigrationsResponse(event: WatchEvent<Migration>): WatchMigrationsResponse {
  return {
    type: toEventType(event.type),
    migration: 'object' in event ? toMigration(event.object) : undefined,
    origin: toOrigin(event.origin),
  };
}

export function toPlan(plan: MigrationPlan): PlanMigrationResponse {
  return {
    blockers: plan.blockers.map((blocker) => ({ ...blocker })),
    images: plan.images.map((image) => ({ ...image, verdict: VERDICT[image.verdict] })),
    transport: plan.transport,
    memoryBytes: toUint64(plan.memoryBytes),
  };
}
