import type { Operation } from '../../client/api.ts';
import { printable } from '../output/table.ts';

const MAX_LENGTH = 40;

/** What an operation was asked for by, in a few words: `timeout=60s`; without a manifest, which is no few words. */
export function requestText({ request = {} }: Operation): string {
  const { virtualMachine: _manifest, ...others } = request;
  const text = printable(wordsOf(others).join(' '));
  return text.length <= MAX_LENGTH ? text : `${text.slice(0, MAX_LENGTH - 1)}…`;
}

/** The innermost of what is said, each by its own name. */
function wordsOf(said: object): readonly string[] {
  return Object.entries(said).flatMap(([name, value]: [string, unknown]) => {
    if (value === true) return [name];
    if (Array.isArray(value)) return [`${name}=${value.join(',')}`];
    return typeof value === 'object' && value !== null
      ? wordsOf(value)
      : [`${name}=${String(value)}`];
  });
}
