import { formatDuration } from '../../src/cli/output/durations.ts';

/** Does one thing after the other and says, one line each, what and how long it took. */
export async function step<T>(
  what: string,
  work: () => Promise<T>,
  describe: (result: T) => string = () => '',
): Promise<T> {
  const start = performance.now();
  process.stdout.write(`${what} … `);
  try {
    const result = await work();
    const detail = describe(result);
    const suffix = detail === '' ? '' : `: ${detail}`;
    process.stdout.write(`${formatDuration(performance.now() - start)}${suffix}\n`);
    return result;
  } catch (error) {
    process.stdout.write('failed\n');
    throw error;
  }
}
