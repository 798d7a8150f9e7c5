import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventLog } from '../../../../src/agent/vms/event-log.ts';

test('a follower gets every change after its revision, in order, and later ones too', async () => {
  const log = new EventLog<string>(7);
  log.append(1, 'one');
  log.append(2, 'two');
  const controller = new AbortController();
  const seen: string[] = [];
  await assert.rejects(async () => {
    for await (const event of log.follow(1, controller.signal)) {
      seen.push(event);
      if (event === 'two') log.append(5, 'five');
      else controller.abort(new Error('enough'));
    }
  }, /enough/);
  assert.deepEqual(seen, ['two', 'five']);
});

test('a cursor of another start of the agent cannot be continued', () => {
  const log = new EventLog<string>(7);
  assert.equal(log.canContinueFrom({ agentEpoch: 7, revision: 0 }), true);
  assert.equal(log.canContinueFrom({ agentEpoch: 6, revision: 0 }), false);
});

test('a follower that is too far behind is told so instead of missing changes', async () => {
  const log = new EventLog<number>(1);
  for (let revision = 1; revision <= 10_000; revision++) log.append(revision, revision);
  assert.equal(log.canContinueFrom({ agentEpoch: 1, revision: 1 }), false);
  await assert.rejects(log.follow(1, new AbortController().signal).next(), {
    reason: 'WATCH_EXPIRED',
  });
});
