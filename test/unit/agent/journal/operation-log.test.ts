import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Journal } from '../../../../src/agent/journal/journal.ts';

function journalWithClock(): Journal {
  let clock = 0;
  return Journal.inMemory({ now: () => ++clock });
}

test('an operation is listed from its beginning to its end', () => {
  using journal = journalWithClock();
  const { operations } = journal;
  operations.begin({ id: 'o-1', vmUid: 'u-1', kind: 'start' });
  operations.begin({ id: 'o-2', vmUid: 'u-2', kind: 'destroy' });
  operations.end('o-1', 'failed', 'No such image');
  operations.end('o-1', 'succeeded');
  assert.deepEqual(operations.list({ vmUid: 'u-1', limit: 10 }), [
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
    operations.list({ vmUid: undefined, limit: 10 }).map(({ id }) => id),
    ['o-2', 'o-1'],
  );
});

test('what an earlier agent left open is marked as interrupted, once', () => {
  using journal = journalWithClock();
  journal.operations.begin({ id: 'o-1', vmUid: 'u-1', kind: 'start' });
  assert.deepEqual(
    journal.operations.interruptAll().map(({ id }) => id),
    ['o-1'],
  );
  assert.deepEqual(journal.operations.interruptAll(), []);
  const [operation] = journal.operations.list({ vmUid: undefined, limit: 1 });
  assert.equal(operation?.outcome, 'interrupted');
});

test('pruning keeps what goes on', () => {
  using journal = journalWithClock();
  for (const id of ['o-1', 'o-2', 'o-3']) {
    journal.operations.begin({ id, vmUid: 'u-1', kind: 'start' });
    if (id !== 'o-1') journal.operations.end(id, 'succeeded');
  }
  assert.equal(journal.operations.prune(1), 1);
  assert.deepEqual(
    journal.operations.list({ vmUid: undefined, limit: 10 }).map(({ id }) => id),
    ['o-3', 'o-1'],
  );
});
