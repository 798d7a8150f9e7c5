import { parseConsoleLine } from '../guest/console-lines.ts';
import type { ConsoleWatcher, Heartbeat } from '../guest/console-watcher.ts';

/** What the guest itself saw of a migration. */
export interface Switchover {
  /** From the last heartbeat at the source to the first at the destination. */
  readonly gapMs: number;
  readonly lastAtSource: number;
  readonly firstAtDestination: number;
  /** Heartbeats that reached neither log. */
  readonly lost: number;
  /** Heartbeats that both logs have: two copies ran. */
  readonly duplicated: number;
}

type Console = Pick<ConsoleWatcher, 'heartbeats' | 'firstPiece' | 'remainder'>;

/** Undefined until both nodes have heard the guest. */
export function findSwitchover(source: Console, destination: Console): Switchover | undefined {
  const arrived = arrivedHeartbeats(source, destination);
  const last = source.heartbeats.at(-1);
  const first = arrived[0];
  if (last === undefined || first === undefined) return undefined;
  const counts = [...source.heartbeats, ...arrived].map((heartbeat) => heartbeat.count);
  const distinct = new Set(counts);
  const from = counts[0] ?? 0;
  const to = Math.max(...counts.slice(-1), last.count);
  return {
    gapMs: first.atMs - last.atMs,
    lastAtSource: last.count,
    firstAtDestination: first.count,
    lost: to - from + 1 - distinct.size,
    duplicated: counts.length - distinct.size,
  };
}

/** What the guest's own check says of its memory or its disk. */
export type GuestCheck = 'verified' | 'damaged' | 'not verified';

/**
 * What the guest's own check says: `verified` once all memory was checked from beginning to end after the arrival and
 * found whole, `damaged` as soon as it was not.
 */
export function checkMemory(
  destination: Pick<ConsoleWatcher, 'passes' | 'bad' | 'alarms'>,
): GuestCheck {
  const { passes, bad, alarms } = destination;
  if (bad > 0 || alarms.some((alarm) => alarm.startsWith('novacron-demo bad page'))) {
    return 'damaged';
  }
  // The first pass to end here began at the source.
  return passes.length >= 2 && alarms.length === 0 ? 'verified' : 'not verified';
}

/** The same of the disk: its blocks as they are on the storage now, against what the guest remembers to have written. */
export function checkDisk(
  destination: Pick<ConsoleWatcher, 'diskPasses' | 'diskBad' | 'alarms'>,
): GuestCheck {
  const { diskPasses, diskBad, alarms } = destination;
  if (diskBad > 0 || alarms.some((alarm) => alarm.startsWith('novacron-demo bad block'))) {
    return 'damaged';
  }
  return diskPasses.length >= 2 && alarms.length === 0 ? 'verified' : 'not verified';
}

/** The line during which the guest was moved is begun in one log and ended in the other. */
function arrivedHeartbeats(source: Console, destination: Console): readonly Heartbeat[] {
  const piece = destination.firstPiece;
  if (piece === undefined) return destination.heartbeats;
  const joined = parseConsoleLine(source.remainder + piece.text);
  if (joined.kind !== 'heartbeat' || source.remainder === '') return destination.heartbeats;
  const { count, rewrites } = joined;
  return [{ count, rewrites, atMs: piece.atMs }, ...destination.heartbeats];
}
