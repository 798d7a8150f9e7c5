import { type Logger, pino } from 'pino';

/** A log of every level that stays in memory. */
export function recordedLog(): { readonly log: Logger; readonly text: () => string } {
  const lines: string[] = [];
  const log = pino({ level: 'trace' }, { write: (line: string) => lines.push(line) });
  return { log, text: () => lines.join('') };
}
