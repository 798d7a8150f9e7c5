import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EventLog } from '../../../../src/agent/reports/event-log.ts';

/** What a log still tells of the changes after a revision. */
async function keptOf(log: EventLog<string>, afterRevision = 0): Promise<readonly string[]> {
  const controller = new AbortController();
  const kept: string[] = [];
  await assert.rejects(async () => {
    log.append(1_000, 'end', 'end');
    for await (const event of log.follow(afterRevision, controller.signal)) {
      if (event === 'end') controller.abort(new Error('enough'));
      else kept.push(event);
    }
  }, /enough/);
  return kept;
}

const isPassing = (event: string): boolean => event.startsWith('passing');

test('a follower gets every change after its revision, in order, and later ones too', async () => {
  const log = new EventLog<string>(7);
  log.append(1, 'a', 'one');
  log.append(2, 'b', 'two');
  const controller = new AbortController();
  const seen: string[] = [];
  await assert.rejects(async () => {
    for await (const event of log.follow(1, controller.signal)) {
      seen.push(event);
      if (event === 'two') log.append(5, 'a', 'five');
      else controller.abort(new Error('enough'));
    }
  }, /enough/);
  assert.deepEqual(seen, ['two', 'five']);
});

test('a cursor of an earlier start of the agent or of nothing cannot be continued', () => {
  const log = new EventLog<string>(7);
  log.append(3, 'a', 'one');
  assert.equal(log.canContinueFrom({ agentEpoch: 7, revision: 3 }, 4), true);
  assert.equal(log.canContinueFrom({ agentEpoch: 7, revision: 4 }, 4), true);
  assert.equal(log.canContinueFrom({ agentEpoch: 6, revision: 3 }, 4), false);
  assert.equal(log.canContinueFrom({ agentEpoch: 6, revision: 9 }, 4), false);
  assert.equal(log.canContinueFrom({ agentEpoch: 7, revision: 0 }, 4), false);
});

test('a cursor of the future is refused, with what to do', () => {
  const log = new EventLog<string>(7);
  log.append(3, 'a', 'one');
  for (const cursor of [
    { agentEpoch: 7, revision: 5 },
    { agentEpoch: 8, revision: 1 },
  ]) {
    assert.throws(() => log.canContinueFrom(cursor, 4), {
      reason: 'WATCH_EXPIRED',
      message: /\b7, revision 4\b.*watch again without a cursor/,
    });
  }
});

test('a follower that is too far behind is told so instead of missing changes', async () => {
  const log = new EventLog<number>(1);
  for (let revision = 1; revision <= 10_000; revision++) log.append(revision, 'a', revision);
  assert.equal(log.canContinueFrom({ agentEpoch: 1, revision: 1 }, 10_000), false);
  await assert.rejects(log.follow(1, new AbortController().signal).next(), {
    reason: 'WATCH_EXPIRED',
  });
});

test('of passing changes only the newest of each object is kept', async () => {
  const log = new EventLog<string>(1);
  log.append(1, 'a', 'begun a');
  log.replace(2, 'a', 'passing a 1', isPassing);
  log.replace(3, 'b', 'passing b 1', isPassing);
  log.replace(4, 'a', 'passing a 2', isPassing);
  log.replace(5, 'b', 'passing b 2', isPassing);
  assert.deepEqual(await keptOf(log), ['begun a', 'passing a 2', 'passing b 2']);
});

test('a passing change replaces none that counts, nor what came before one', async () => {
  const log = new EventLog<string>(1);
  log.replace(1, 'a', 'passing 1', isPassing);
  log.append(2, 'a', 'moved on');
  log.replace(3, 'a', 'passing 2', isPassing);
  assert.deepEqual(await keptOf(log), ['passing 1', 'moved on', 'passing 2']);
});

test('passing changes without end push nothing else out', async () => {
  const log = new EventLog<string>(1);
  log.append(1, 'a', 'begun');
  for (let revision = 2; revision < 900; revision++) {
    for (let copy = 0; copy < 20; copy++) log.replace(revision, 'b', 'passing', isPassing);
  }
  assert.deepEqual(await keptOf(log), ['begun', 'passing']);
});
