import type { TestEvent } from 'node:test/reporters';

/** One line of JSON for each thing that `./dev test` must know. */
export type TestRecord =
  | { readonly kind: 'skip'; readonly file: string; readonly test: string; readonly reason: string }
  | { readonly kind: 'summary'; readonly passed: number; readonly failed: number };

/** A reporter for `node --test` whose output is for `./dev test`; people read another one's. */
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    const record = recordOf(event);
    if (record !== undefined) yield `${JSON.stringify(record)}\n`;
  }
}

function recordOf(event: TestEvent): TestRecord | undefined {
  if (event.type === 'test:pass' || event.type === 'test:fail') {
    const { skip, todo, name, file = '' } = event.data;
    const reason = skip ?? todo;
    if (reason === undefined || reason === false) return undefined;
    return { kind: 'skip', file, test: name, reason: reason === true ? '' : reason };
  }
  // Each file has a summary; the one without a file is that of the whole run.
  if (event.type !== 'test:summary' || event.data.file !== undefined) return undefined;
  const { passed, cancelled, tests, skipped, todo } = event.data.counts;
  const failed = tests - passed - skipped - todo;
  return { kind: 'summary', passed, failed: Math.max(failed, cancelled) };
}
