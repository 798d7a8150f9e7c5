import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { TaskGroup } from '../../../src/core/task-group.ts';

test('disposing aborts the tasks and waits for them', async () => {
  const tasks = new TaskGroup(pino({ level: 'silent' }));
  let ended = false;
  tasks.run('test', async (signal) => {
    const aborted = Promise.withResolvers<void>();
    signal.addEventListener('abort', () => aborted.resolve());
    await aborted.promise;
    ended = true;
  });
  await tasks[Symbol.asyncDispose]();
  assert.equal(ended, true);
});

test('a task that fails is logged and does not fail the others', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'error' }, { write: (line: string) => lines.push(line) });
  const tasks = new TaskGroup(log);
  tasks.run('broken', () => Promise.reject(new Error('boom')));
  await tasks[Symbol.asyncDispose]();
  assert.match(lines.join(''), /"operation":"broken".*boom/s);
});
