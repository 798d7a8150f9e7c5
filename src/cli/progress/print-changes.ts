import type { ResumeOptions } from '../../client/resume.ts';
import type { ResourceEvent } from '../../client/watch.ts';
import type { CliIo } from '../process/cli-io.ts';
import { type ChangeWords, changeDocument, changeText } from '../views/watch-event.ts';

/** Prints a line for each object as it is, then for every change, until Ctrl-C or nobody reads it. */
export async function printChanges<T>(
  io: CliIo,
  output: 'text' | 'json',
  words: ChangeWords<T>,
  watch: (options: ResumeOptions) => AsyncIterable<ResourceEvent<T>>,
): Promise<void> {
  const onLost = () => {
    io.stderr.write('The connection to the agent was lost; connecting again\n');
  };
  for await (const event of watch({ signal: io.signal, onLost })) {
    if (event.type === 'synced') continue;
    io.stdout.write(
      output === 'json'
        ? `${JSON.stringify(changeDocument(event, words))}\n`
        : changeText(event, words, new Date()),
    );
    if (io.stdout.fault !== undefined) return;
  }
}
