import { delay } from '../../core/delay.ts';
import type { Logger } from '../../core/logger.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { StorageProbe, StorageState } from '../../drivers/storage-probe.ts';
import type { Journal, JournalHealth } from '../journal/journal.ts';

/** How what the agent keeps on its disk is. */
export interface StorageReport {
  /** As the journal's, and of the disk below it: `Full`, `ReadOnly`, `WriteFailed`, `NotAnswering`. */
  readonly reason: JournalHealth['reason'] | 'Full' | 'ReadOnly' | 'NotAnswering';
  /** The cause and what to do, for people; empty when healthy. */
  readonly message: string;
}

export interface StorageHealthOptions {
  readonly probe: StorageProbe;
  readonly journal: Pick<Journal, 'health' | 'failures' | 'lastFailure' | 'tryWrite'>;
  readonly log: Logger;
  readonly intervalMs?: number | undefined;
  /** Milliseconds that only go forward. */
  readonly now?: () => number;
}

/** How soon a failed write shows, and room that was made. */
const INTERVAL_MS = 2_000;
/** How often something is written although nothing has failed: a disk that fails says so only then. */
const WRITE_INTERVAL_MS = 60_000;
const SILENCE_MS = 10_000;

/** Whether nothing can be recorded, so that what is asked for is refused. */
export function isBroken({ reason }: StorageReport): boolean {
  return reason !== 'Healthy' && reason !== 'JournalReplaced';
}

/**
 * Watches the disk of the state directory. A write that fails may be followed by one that works, as SQLite writes over what it has
 * freed before it asks for more; so a failure has the disk itself tried, and counts until that works again.
 */
export class StorageHealth {
  readonly #options: StorageHealthOptions;
  readonly #now: () => number;
  #state: StorageState | undefined;
  #seenFailures = 0;
  #wroteAtMs: number | undefined;
  #askedAtMs: number | undefined;

  constructor(options: StorageHealthOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** From memory. */
  report(): StorageReport {
    const { probe, journal } = this.#options;
    if (this.#askedAtMs !== undefined && this.#now() - this.#askedAtMs > SILENCE_MS) {
      const message = `The disk of ${probe.directory} does not answer: nothing that is asked for can be recorded, so it is refused; VMs that run go on. Look at dmesg for why`;
      return { reason: 'NotAnswering', message };
    }
    const state = this.#state;
    if (state !== undefined && state.kind !== 'writable') return explain(state, probe.directory);
    const health = journal.health();
    const { failures, lastFailure } = journal;
    if (isBroken(health) || failures === this.#seenFailures || lastFailure === undefined)
      return health;
    return { reason: 'WriteFailed', message: lastFailure.message };
  }

  /** What is free there; undefined if that is not known. */
  availableBytes(): number | undefined {
    const state = this.#state;
    if (state?.kind === 'writable') return state.availableBytes;
    return state?.kind === 'full' ? 0 : undefined;
  }

  /** Looks until aborted. Give it to the task group. */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      // A disk that hangs is not waited for when the agent ends.
      await untilAborted(this.look(), signal);
      await delay(this.#options.intervalMs ?? INTERVAL_MS, signal);
    }
  }

  /** One look, which tells what is so now. */
  async look(): Promise<void> {
    const { probe, journal, log } = this.#options;
    const before = this.report();
    const { failures } = journal;
    const isTried = isBroken(before) || failures !== this.#seenFailures || this.#isDue();
    this.#askedAtMs = this.#now();
    this.#state = isTried ? await probe.tryWrite() : await probe.look();
    this.#askedAtMs = undefined;
    this.#seenFailures = failures;
    if (isTried) this.#wroteAtMs = this.#now();
    // Nobody else may write for hours, and all that while the last failure would count.
    if (this.#state.kind === 'writable' && isBroken(journal.health())) {
      await journal.tryWrite().catch(() => undefined);
    }
    const after = this.report();
    if (after.reason === before.reason) return;
    if (isBroken(after)) log.error({ ...after }, 'Storage is not well');
    else if (isBroken(before)) log.info('Storage is well again');
  }

  #isDue(): boolean {
    return this.#wroteAtMs === undefined || this.#now() - this.#wroteAtMs >= WRITE_INTERVAL_MS;
  }
}

function explain(
  { kind, code }: Exclude<StorageState, { kind: 'writable' }>,
  directory: string,
): StorageReport {
  const effect = 'nothing that is asked for can be recorded, so it is refused; VMs that run go on';
  switch (kind) {
    case 'full':
      return {
        reason: 'Full',
        message: `The disk of ${directory} is full: what is new cannot be recorded, so creations, changes and migrations are refused; VMs and what has begun go on. Make room on that file system (df -h ${directory}), but not by removing what the agent has there`,
      };
    case 'read-only':
      return {
        reason: 'ReadOnly',
        message: `The disk of ${directory} is mounted read-only: ${effect}. The kernel does that to a disk that fails: look at dmesg, mend it, then: mount -o remount,rw`,
      };
    default:
      return {
        reason: 'WriteFailed',
        message: `Writing to ${directory} fails (${code}): ${effect}. Look at dmesg, and at who may write there`,
      };
  }
}
