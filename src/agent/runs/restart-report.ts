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
  /** The node has no memory for it. */
  readonly lacksMemory: boolean;
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
