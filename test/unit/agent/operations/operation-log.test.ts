import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OperationLog } from '../../../../src/agent/operations/operation-log.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';

function withClock(journal: MemoryJournal): OperationLog {
  let clock = 0;
  return new OperationLog(journal.database, () => ++clock);
}

test('an operation is listed from its beginning to its end', async () => {
  using journal = new MemoryJournal();
  const operations = withClock(journal);
  await operations.begin({ id: 'o-1', vmUid: 'u-1', kind: 'start' });
  await operations.begin({ id: 'o-2', vmUid: 'u-2', kind: 'destroy' });
  await operations.end('o-1', 'failed', 'No such image');
  await operations.end('o-1', 'succeeded');
  assert.deepEqual(await operations.list({ vmUid: 'u-1', limit: 10 }), [
    {
      id: 'o-1',
      vmUid: 'u-1',
      kind: 'start',
      startedAtMs: 1,
      endedAtMs: 3,
      outcome: 'failed',
      error: 'No such image',
    },
  ]);
  assert.deepEqual(
    (await operations.list({ vmUid: undefined, limit: 10 })).map(({ id }) => id),
    ['o-2', 'o-1'],
  );
});

test('what an earlier agent left open is marked as interrupted, once', async () => {
  using journal = new MemoryJournal();
  const operations = withClock(journal);
  await operations.begin({ id: 'o-1', vmUid: 'u-1', kind: 'start' });
  assert.deepEqual(
    (await operations.interruptAll()).map(({ id }) => id),
    ['o-1'],
  );
  assert.deepEqual(await operations.interruptAll(), []);
  const [operation] = await operations.list({ vmUid: undefined, limit: 1 });
  assert.equal(operation?.outcome, 'interrupted');
});

test('pruning keeps what goes on', async () => {
  using journal = new MemoryJournal();
  const operations = withClock(journal);
  for (const id of ['o-1', 'o-2', 'o-3']) {
    await operations.begin({ id, vmUid: 'u-1', kind: 'start' });
    if (id !== 'o-1') await operations.end(id, 'succeeded');
  }
  assert.equal(await operations.prune(1), 1);
  assert.deepEqual(
    (await operations.list({ vmUid: undefined, limit: 10 })).map(({ id }) => id),
    ['o-3', 'o-1'],
  );
});
