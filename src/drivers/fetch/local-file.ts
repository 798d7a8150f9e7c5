import { fileURLToPath } from 'node:url';
import { runProgram } from './child-program.ts';
import { fetchFailed, notAllowed } from './errors.ts';
import { printable } from './response-head.ts';

const MAX_COMPLAINT = 200;

/**
 * A name for the content of a file, `file:` and what changes with it. Asked of another process, as storage that has gone away keeps
 * whoever looks at it. Fails for what is no plain file.
 */
export async function versionOfFile(url: URL, signal: AbortSignal): Promise<string> {
  if (url.hostname !== '') throw notAllowed(url, 'it names a host; write file:///PATH');
  let said = '';
  const words = ['stat', '--dereference', '--printf=%F:%i-%s-%.9Y-%.9Z', '--', fileURLToPath(url)];
  const onOutput = (chunk: Buffer): void => {
    said += chunk.toString();
  };
  const { code, complaint } = await runProgram(words, { onOutput }, signal);
  if (code !== 0) {
    const why = complaint.trim().split(': ').at(-1) ?? '';
    throw fetchFailed(
      url,
      `it cannot be looked at (${printable(why, MAX_COMPLAINT)}); look whether it is there`,
    );
  }
  const [, kind, version] = /^(regular (?:empty )?file):(.*)$/.exec(said) ?? [];
  if (kind === undefined) throw notAllowed(url, 'it is no plain file; name one');
  return `file:${version}`;
}
