import { createRequire } from 'node:module';
import { type EventLoopUtilization, performance } from 'node:perf_hooks';
import { getHeapSpaceStatistics } from 'node:v8';
import { GarbageCollector } from './garbage-collector.ts';
import { nativeFile } from './sibling-module.ts';

/** What starting has taken is no longer used by then. */
const LOOK_MS = 3_000;
/** Pages that are used come back, 10 MiB of them at once and as many within the next half a minute. */
const GROWTH_BYTES = 16 * 1024 ** 2;
/** However little it has grown. What is used comes back, and that costs a twentieth of a percent of a CPU each minute. */
const LONGEST_MS = 180_000;
const HEAP_GROWTH_BYTES = 6 * 1024 ** 2;
/** Share of the time between two looks. To collect takes 0.1 s, in which nobody is answered. */
const IDLE_UTILIZATION = 0.1;

/** Built from native/memory. */
const LIBRARY = nativeFile(import.meta.url, 'memory.node', '../../dist/agent');

/**
 * Gives memory of this process back to the system when it has grown: what the C library keeps of what was freed, and pages of programs
 * that were needed once, above all to start, which takes a few milliseconds; and garbage that V8 would leave until there is more of
 * it, when nobody asks anything. To be called before the process has many threads.
 */
export function keepMemorySmall(): void {
  const giveBack = createRequire(import.meta.url)(LIBRARY) as () => void;
  const garbage = new GarbageCollector();
  let givenBackAt = 0;
  let collectedAt = oldHeapBytes();
  let givenAtMs = performance.now();
  let before = performance.eventLoopUtilization();
  // Since memory was given back while nothing was done: what has come back since then is used.
  let hasWorked = true;
  const look = (): void => {
    const now = performance.eventLoopUtilization();
    const isIdle = isIdleBetween(before, now);
    before = now;
    if (!isIdle) hasWorked = true;
    const isGrown = hasWorked && process.memoryUsage.rss() > givenBackAt + GROWTH_BYTES;
    const hasGarbage = oldHeapBytes() > collectedAt + HEAP_GROWTH_BYTES;
    const collects = isIdle && hasGarbage;
    if (collects) {
      garbage.collectAll();
      collectedAt = oldHeapBytes();
    }
    if (!collects && !isGrown && performance.now() < givenAtMs + LONGEST_MS) return;
    giveBack();
    if (isIdle) hasWorked = false;
    givenBackAt = process.memoryUsage.rss();
    givenAtMs = performance.now();
  };
  setInterval(look, LOOK_MS).unref();
}

function isIdleBetween(before: EventLoopUtilization, now: EventLoopUtilization): boolean {
  return performance.eventLoopUtilization(now, before).utilization < IDLE_UTILIZATION;
}

/** Without the room for young objects, which V8 makes larger and smaller all the time. */
function oldHeapBytes(): number {
  const old = getHeapSpaceStatistics().filter(({ space_name: name }) => !name.startsWith('new_'));
  return old.reduce((sum, { space_size: bytes }) => sum + bytes, 0);
}
