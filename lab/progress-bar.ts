import { formatBytes, formatMs } from './format.ts';

/** How far a migration is, for showing. */
export interface Progress {
  readonly phase: string;
  /** 0 to 1. */
  readonly fraction: number;
  readonly memoryBytes: number;
  readonly memoryTotalBytes: number;
  readonly bytesPerSecond: number;
  readonly dirtyBytesPerSecond: number;
  readonly iteration: number;
  readonly timeLeftMs: number | undefined;
}

/** What a progress bar is drawn on: `process.stdout` or the like. */
export interface Screen {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const BAR_WIDTH = 20;
const PLAIN_INTERVAL_MS = 500;
const CLEAR_LINE = '\r\u001B[K';

export function formatProgress(progress: Progress): string {
  const filled = Math.round(Math.min(Math.max(progress.fraction, 0), 1) * BAR_WIDTH);
  const bar = `[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}]`;
  const parts = [
    `${bar} ${Math.round(progress.fraction * 100)}% ${progress.phase}`,
    `${formatBytes(progress.memoryBytes)} of ${formatBytes(progress.memoryTotalBytes)}`,
    `${formatBytes(progress.bytesPerSecond)}/s`,
    `dirty ${formatBytes(progress.dirtyBytesPerSecond)}/s`,
    `pass ${progress.iteration}`,
  ];
  if (progress.timeLeftMs !== undefined) parts.push(`${formatMs(progress.timeLeftMs)} left`);
  return parts.join(', ');
}

/** On a terminal one line that is drawn anew, elsewhere plain lines, at most two a second and one for each phase. */
export class ProgressBar {
  readonly #screen: Screen;
  readonly #now: () => number;
  #last: { readonly phase: string; readonly atMs: number } | undefined;

  constructor(screen: Screen, now: () => number = () => performance.now()) {
    this.#screen = screen;
    this.#now = now;
  }

  show(progress: Progress): void {
    const line = formatProgress(progress);
    if (this.#screen.isTTY === true) {
      this.#screen.write(`${CLEAR_LINE}${line.slice(0, (this.#screen.columns ?? 80) - 1)}`);
      return;
    }
    const atMs = this.#now();
    const isNews =
      this.#last?.phase !== progress.phase || atMs - this.#last.atMs >= PLAIN_INTERVAL_MS;
    if (!isNews) return;
    this.#last = { phase: progress.phase, atMs };
    this.#screen.write(`${line}\n`);
  }

  /** Leaves the last line standing. */
  end(): void {
    if (this.#screen.isTTY === true) this.#screen.write('\n');
  }
}
