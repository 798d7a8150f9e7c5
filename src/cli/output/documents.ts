import type { Condition, Duration, ReportOrigin, Timestamp } from '../../client/api.ts';
import { ConditionStatus } from '../../client/api.ts';
import { durationMs, timestampMs } from '../../client/time.ts';

export type Document = Readonly<Record<string, unknown>>;

/** The name of an enum's value in CamelCase, such as `SwitchingOver`; undefined if it is unspecified. */
export function enumWord(
  values: Readonly<Record<string, number>>,
  prefix: string,
  value: number,
): string | undefined {
  const name = Object.keys(values).find((key) => values[key] === value);
  if (name === undefined || name === 'UNRECOGNIZED') return `Unrecognized${value}`;
  const word = name.slice(prefix.length + 1);
  if (word === 'UNSPECIFIED') return undefined;
  return word
    .split('_')
    .map((part) => part.charAt(0) + part.slice(1).toLowerCase())
    .join('');
}

/** The API's JSON of a message: what is empty is left out, 64-bit numbers are numbers. */
export function withoutEmpty(fields: Document): Document {
  return Object.fromEntries(
    Object.entries(fields)
      .filter(([, value]) => !isEmpty(value))
      .map(([key, value]) => [key, typeof value === 'bigint' ? plainNumber(value) : value]),
  );
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === '') return true;
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** A number, or text beyond what JSON readers keep exact. */
function plainNumber(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

export function timestampText(timestamp: Timestamp | undefined): string | undefined {
  if (timestamp === undefined) return undefined;
  return new Date(timestampMs(timestamp)).toISOString();
}

/** As protobuf's JSON has it: `0.084s`. */
export function durationText(duration: Duration | undefined): string | undefined {
  return duration === undefined ? undefined : `${durationMs(duration) / 1000}s`;
}

export function conditionDocuments(conditions: readonly Condition[]): readonly Document[] {
  return conditions.map((condition) =>
    withoutEmpty({
      ...condition,
      status: enumWord(ConditionStatus, 'CONDITION_STATUS', condition.status),
      lastTransitionTime: timestampText(condition.lastTransitionTime),
      observedGeneration: condition.observedGeneration || undefined,
    }),
  );
}

export function originDocument(origin: ReportOrigin | undefined): Document | undefined {
  return origin === undefined ? undefined : withoutEmpty({ ...origin });
}
