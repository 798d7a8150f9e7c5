import type { Condition, ConditionStatus } from '../reports/report.ts';
import type { PhaseReport, VmContext } from './vm-phase.ts';

/** The conditions of a VM; a condition whose status did not change keeps its transition time. */
export function conditionsOf(
  state: PhaseReport,
  context: VmContext,
  previous: readonly Condition[],
): readonly Condition[] {
  return [
    condition('Ready', readyStatus(state), state.reason, state.message, previous),
    condition(
      'Migrating',
      context.migrationId === undefined ? 'false' : 'true',
      context.migrationId === undefined ? 'NoMigration' : 'MigrationActive',
      context.migrationId === undefined ? '' : `Migration ${context.migrationId}`,
      previous,
    ),
  ];
}

function readyStatus(state: PhaseReport): ConditionStatus {
  if (state.phase === 'unknown') return 'unknown';
  return state.phase === 'running' || state.phase === 'migrating' ? 'true' : 'false';
}

function condition(
  type: string,
  status: ConditionStatus,
  reason: string,
  message: string,
  previous: readonly Condition[],
): Condition {
  const before = previous.find((candidate) => candidate.type === type);
  const lastTransitionAtMs = before?.status === status ? before.lastTransitionAtMs : Date.now();
  return { type, status, reason, message, lastTransitionAtMs };
}
