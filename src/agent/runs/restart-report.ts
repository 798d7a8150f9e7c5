/** What a node can have too little of for a VM that is to be started. */
export type Lack = 'memory' | 'cpus' | 'hugepages';

/** How a VM fares that is started again by itself. */
export interface RestartReport {
  /** Starts in a row that have not kept it on for long. */
  readonly attempts: number;
  /** How many of the last of these have failed. */
  readonly failedStarts: number;
  /** When it is, or was to be, started again, in milliseconds since 1970; undefined if nothing is planned. */
  readonly nextStartMs: number | undefined;
  /** Why the last start failed; empty if it did not. */
  readonly lastFailure: string;
  /** What the node has too little of for it; undefined if that is not what it waits for. */
  readonly lack: Lack | undefined;
}

/** What has come of the starts before, as the end of a sentence; empty if there is nothing to say. */
export function pastStartsText({ attempts, failedStarts, lastFailure }: RestartReport): string {
  if (failedStarts > 0)
    return `, ${timesText(failedStarts, 'start')} failed in a row: ${lastFailure}`;
  return attempts > 0 ? `, ${timesText(attempts, 'start')} did not last` : '';
}

function timesText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
