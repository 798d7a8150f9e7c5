import type { Condition } from '../reports/report.ts';
import type { Happening, SeenChange } from './seen-change.ts';

/** What other events tell. */
const TOLD_OTHERWISE: readonly string[] = [
  'Ready',
  'RunStrategyFulfilled',
  'Migrating',
  'Paused',
  'Drifted',
  'StrayCopy',
  'SpecApplied',
];

/** That a condition has become another. One that has come, or gone, has not. */
export function conditionChanges({ before, now, seen }: SeenChange): readonly Happening[] {
  if (before.conditions === now.conditions) return [];
  const { conditions } = seen.vm;
  return conditions.flatMap((condition) => {
    const { type, status } = condition;
    const was = before.conditions.find((other) => other.type === type)?.status;
    if (was === status || TOLD_OTHERWISE.includes(type)) return [];
    if (type === 'Degraded') return degradation(condition, was);
    if (was === undefined) return [];
    return [
      {
        reason: 'ConditionChanged' as const,
        message: `${type} is ${status} now (${condition.reason})${textAfter(condition)}`,
        cause: type,
      },
    ];
  });
}

function degradation(
  { status, reason: cause, message }: Condition,
  was: Condition['status'] | undefined,
): readonly Happening[] {
  if (status === 'true') return [{ reason: 'Degraded', message, cause }];
  if (status !== 'false' || was !== 'true') return [];
  return [{ reason: 'Recovered', message: 'Nothing about it asks for an operator any more' }];
}

function textAfter({ message }: Condition): string {
  return message === '' ? '' : `: ${message}`;
}
