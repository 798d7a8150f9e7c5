import { createRequire } from 'node:module';
import { nativeFile } from './sibling-module.ts';

/** What starting has taken is no longer used by then. */
const FIRST_MS = 3_000;
const INTERVAL_MS = 60_000;

/** Built from native/memory. */
const LIBRARY = nativeFile(import.meta.url, 'memory.node', '../../dist/agent');

/**
 * Gives memory of this process back to the system soon after its start and then once a minute: what the C library keeps of what was
 * freed, and pages of programs that were needed once, above all to start. Takes a few milliseconds each time. To be called
 * before the process has many threads.
 */
export function giveBackMemory(): void {
  const giveBack = createRequire(import.meta.url)(LIBRARY) as () => void;
  setTimeout(() => {
    giveBack();
    setInterval(giveBack, INTERVAL_MS).unref();
  }, FIRST_MS).unref();
}
