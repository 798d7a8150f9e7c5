import { AgentError } from '../../core/errors.ts';
import { formatDuration } from '../output/durations.ts';
import { printable } from '../output/table.ts';
import { hintFor } from './hints.ts';

/** What failed and why, then what to do about it; `where` is the part of several that it is about. */
export function errorReport(error: unknown, where?: string): string {
  const start = where === undefined ? 'Error:' : `Error in ${printable(where)}:`;
  if (!(error instanceof AgentError)) {
    return `${start} ${error instanceof Error ? error.message : String(error)}\n`;
  }
  const reason = error.metadata['reason'] ?? error.metadata['grpcStatus'] ?? error.reason;
  const lines = [`${start} ${printable(error.message)} (${printable(reason)})`];
  for (const { field, description } of error.violations) {
    // The message of a single violation often is the violation; that of several names the first.
    const said = error.violations.length === 1 ? description : `${field} ${description}`;
    // What does not fit into the details of an error has been cut.
    if (error.message.includes(said.replace(/…$/, ''))) continue;
    lines.push(`  ${printable(field === '' ? description : `${field}: ${description}`)}`);
  }
  const hint = hintFor(error);
  if (hint !== undefined) lines.push(`What to do: ${hint}`);
  if (error.retryAfterMs !== undefined) {
    lines.push(`Try again after ${formatDuration(error.retryAfterMs)}`);
  }
  return `${lines.join('\n')}\n`;
}
