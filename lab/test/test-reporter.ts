import type { TestEvent } from 'node:test/reporters';
import { inspect } from 'node:util';

/** One line of JSON for each thing that `./dev test` must know of a test file. */
export type TestRecord =
  /** Tests and suites as they begin and end, so that it is known what a file was at when it hung. */
  | { readonly kind: 'begun' | 'ended'; readonly test: string }
  | { readonly kind: 'passed'; readonly test: string }
  | { readonly kind: 'failed'; readonly test: string; readonly error: string }
  | { readonly kind: 'skipped'; readonly test: string; readonly reason: string };

/** A reporter for node:test whose output is for `./dev test`; people read another one's. */
export default async function* report(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    const record = recordOf(event);
    if (record !== undefined) yield `${JSON.stringify(record)}\n`;
  }
}

function recordOf(event: TestEvent): TestRecord | undefined {
  if (event.type === 'test:dequeue') return { kind: 'begun', test: event.data.name };
  if (event.type === 'test:complete') return { kind: 'ended', test: event.data.name };
  if (event.type !== 'test:pass' && event.type !== 'test:fail') return undefined;
  const { skip, todo, name: test, details } = event.data;
  // What is to be done some day is not done, so it counts as skipped.
  const reason = skip ?? todo;
  if (reason !== undefined && reason !== false) {
    return { kind: 'skipped', test, reason: reason === true ? '' : reason };
  }
  // A suite is no test of its own; one that fails without a test in it shows by the exit code.
  if (details.type === 'suite') return undefined;
  if (event.type === 'test:pass') return { kind: 'passed', test };
  const { error } = event.data.details;
  return { kind: 'failed', test, error: inspect(error.cause ?? error) };
}
