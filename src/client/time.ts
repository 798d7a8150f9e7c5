import type { Duration } from '../gen/google/protobuf/duration.ts';
import type { Timestamp } from '../gen/google/protobuf/timestamp.ts';

/** What is no number of milliseconds is none. */
export function toDuration(ms: number): Duration {
  const whole = Number.isFinite(ms) ? ms : 0;
  const seconds = Math.trunc(whole / 1000);
  return { seconds: BigInt(seconds), nanos: Math.trunc((whole - seconds * 1000) * 1e6) };
}

/** Milliseconds, with fractions. */
export function durationMs(duration: Duration): number {
  return Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

/** Of milliseconds since 1970, which may be before that. */
export function toTimestamp(atMs: number): Timestamp {
  const seconds = Math.floor(atMs / 1000);
  return { seconds: BigInt(seconds), nanos: Math.trunc((atMs - seconds * 1000) * 1e6) };
}

/** Milliseconds since 1970. */
export function timestampMs(timestamp: Timestamp): number {
  return Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6;
}
