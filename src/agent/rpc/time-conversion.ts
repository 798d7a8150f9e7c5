import { durationMs, timestampMs } from '../../client/time.ts';
import type { Duration } from '../../gen/google/protobuf/duration.ts';
import type { Timestamp } from '../../gen/google/protobuf/timestamp.ts';
import type { FieldChecks } from './field-checks.ts';

const MS_PER_SECOND = 1_000;
const NANOS_PER_MS = 1_000_000;

/** Milliseconds since 1970 as a Timestamp, whose nanoseconds are never negative. */
export function toTimestamp(atMs: number): Timestamp {
  const whole = Number.isFinite(atMs) ? Math.trunc(atMs) : 0;
  const seconds = Math.floor(whole / MS_PER_SECOND);
  return { seconds: BigInt(seconds), nanos: (whole - seconds * MS_PER_SECOND) * NANOS_PER_MS };
}

/** Undefined for a duration that is malformed by the rules of google.protobuf.Duration. */
export function fromDuration(duration: Duration): number | undefined {
  const { seconds, nanos } = duration;
  // The range that duration.proto states: about 10,000 years.
  const inRange = seconds >= -315_576_000_000n && seconds <= 315_576_000_000n;
  const wellFormed = Math.abs(nanos) < 1_000_000_000;
  const oneSign = seconds === 0n || nanos === 0 || seconds > 0n === nanos > 0;
  if (!inRange || !wellFormed || !oneSign) return undefined;
  return durationMs(duration);
}

/** Undefined for a timestamp outside of the years 1 to 9999 or with odd nanoseconds. */
export function fromTimestamp(timestamp: Timestamp): number | undefined {
  const { seconds, nanos } = timestamp;
  const inRange = seconds >= -62_135_596_800n && seconds <= 253_402_300_799n;
  if (!inRange || nanos < 0 || nanos >= 1_000_000_000) return undefined;
  return Math.trunc(timestampMs(timestamp));
}

/** Whole milliseconds, rounded up so that a short limit does not become none; undefined if unset. */
export function fromBoundedDuration(
  message: Duration | undefined,
  field: string,
  { minMs, maxMs }: { readonly minMs: number; readonly maxMs: number },
  checks: FieldChecks,
): number | undefined {
  if (message === undefined) return undefined;
  const durationMs = fromDuration(message);
  if (durationMs !== undefined && durationMs >= minMs && durationMs <= maxMs) {
    return Math.ceil(durationMs);
  }
  checks.add(field, `must be from ${minMs / 1_000}s to ${maxMs / 1_000}s`);
  return undefined;
}
