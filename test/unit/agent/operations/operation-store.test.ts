import assert from 'node:assert/strict';
import { test } from 'node:test';
import { THE_NODE } from '../../../../src/agent/operations/operation.ts';
import { OperationStore } from '../../../../src/agent/operations/operation-store.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { operationRecord } from './operation-record.ts';

const ALL = { vmUid: undefined, vmName: undefined, namespace: undefined, activeOnly: false };
const FIRST = { after: undefined, limit: 10 };

const ended = (id: string, endedAtMs: number) =>
  operationRecord(id, { state: 'succeeded', startedAtMs: endedAtMs, endedAtMs });

test('an operation is kept as it was given', async () => {
  using journal = new MemoryJournal();
  const store = new OperationStore(journal.database);
  const record = operationRecord('o-1', {
    kind: 'apply',
    parameters: { manifest: { metadata: { name: 'web' } }, generation: undefined },
    state: 'failed',
    startedAtMs: 2,
    endedAtMs: 3,
    error: {
      reason: 'GENERATION_MISMATCH',
      message: 'It has another',
      metadata: { vmId: 'u-1' },
      violations: [{ field: 'generation', description: 'is another' }],
    },
  });
  assert.equal(await store.insert(record), undefined);
  assert.deepEqual(await store.find('o-1'), record);
  assert.equal(await store.find('o-2'), undefined);
});

test('one with a known id changes nothing, neither itself nor those that it would end', async () => {
  using journal = new MemoryJournal();
  const store = new OperationStore(journal.database);
  const first = operationRecord('o-1');
  const other = operationRecord('o-2');
  for (const record of [first, other]) await store.insert(record);
  const again = operationRecord('o-1', { kind: 'destroy' });
  const end = { ...other, state: 'superseded' as const, endedAtMs: 5, supersededBy: 'o-1' };
  assert.deepEqual(await store.insert(again, [end]), first);
  assert.deepEqual(await store.find('o-2'), other);
  assert.equal(await store.insert(operationRecord('o-3'), [end, { ...end, id: 'o-1' }]), undefined);
  assert.equal((await store.find('o-2'))?.state, 'superseded');
  assert.equal((await store.find('o-1'))?.state, 'superseded');
});

test('the newest are listed first, of one VM if that is wanted, a page at a time', async () => {
  using journal = new MemoryJournal();
  const store = new OperationStore(journal.database);
  const db = { namespace: 'default', name: 'db', uid: 'u-2' };
  await store.insert(operationRecord('o-1', { requestedAtMs: 1 }));
  await store.insert(operationRecord('o-2', { requestedAtMs: 2, vm: db }));
  await store.insert(operationRecord('o-3', { requestedAtMs: 2 }));
  await store.insert({ ...ended('o-4', 4), requestedAtMs: 3 });
  const idsOf = async (...list: Parameters<OperationStore['list']>) =>
    (await store.list(...list)).records.map(({ id }) => id);
  assert.deepEqual(await idsOf(ALL, FIRST), ['o-4', 'o-3', 'o-2', 'o-1']);
  assert.deepEqual(await idsOf({ ...ALL, vmUid: 'u-2' }, FIRST), ['o-2']);
  assert.deepEqual(await idsOf({ ...ALL, vmName: { ...db, name: 'web' } }, FIRST), [
    'o-4',
    'o-3',
    'o-1',
  ]);
  assert.deepEqual(await idsOf({ ...ALL, activeOnly: true }, FIRST), ['o-3', 'o-2', 'o-1']);
  const { next } = await store.list(ALL, { after: undefined, limit: 2 });
  assert.deepEqual(await idsOf(ALL, { after: next, limit: 1 }), ['o-2']);
  assert.equal((await store.list(ALL, { after: next, limit: 2 })).next, undefined);
});

test('the last so many are kept, and for so long whatever their number', async () => {
  using journal = new MemoryJournal();
  const store = new OperationStore(journal.database);
  for (const id of ['o-1', 'o-2', 'o-3']) await store.insert(ended(id, Number(id.slice(2))));
  await store.insert(operationRecord('o-0', { requestedAtMs: 0 }));
  // All are younger than 7.
  assert.equal(await store.prune(8, 1, 7), 0);
  // Of those that are older than 1, the last two are kept all the same.
  assert.equal(await store.prune(8, 2, 1), 1);
  assert.deepEqual((await store.list(ALL, FIRST)).records.map(({ id }) => id).toSorted(), [
    'o-0',
    'o-2',
    'o-3',
  ]);
});

test('of each VM that was not deleted the last of each kind that has ended is found', async () => {
  using journal = new MemoryJournal();
  const store = new OperationStore(journal.database);
  const put = (id: string, uid: string, patch: Parameters<typeof operationRecord>[1]) =>
    store.insert(
      operationRecord(id, {
        state: 'succeeded',
        endedAtMs: 9,
        ...patch,
        vm: { namespace: 'default', name: uid, uid },
      }),
    );
  await put('start-1', 'one', { requestedAtMs: 1 });
  await put('start-2', 'one', { requestedAtMs: 3, state: 'failed' });
  await put('start-3', 'one', { requestedAtMs: 4, state: 'running', endedAtMs: undefined });
  await put('shutdown-1', 'one', { requestedAtMs: 2, kind: 'shutdown' });
  await put('apply-1', 'one', { requestedAtMs: 5, kind: 'apply' });
  await put('start-4', 'two', { requestedAtMs: 6 });
  await put('delete-2', 'two', { requestedAtMs: 7, kind: 'delete' });
  await put('start-5', 'three', { requestedAtMs: 8 });
  await put('delete-3', 'three', { requestedAtMs: 9, kind: 'delete', state: 'failed' });
  const found = await store.listLastEnded(['start', 'shutdown', 'destroy']);
  assert.deepEqual(found.map(({ id }) => id).toSorted(), ['shutdown-1', 'start-2', 'start-5']);
  const succeeded = await store.listLastSucceeded(['start', 'shutdown']);
  assert.deepEqual(
    succeeded.map(({ id }) => id),
    ['start-1', 'shutdown-1', 'start-5'],
  );
});

test('what is newer is what was recorded later, whatever the clock said', async () => {
  using journal = new MemoryJournal();
  const store = new OperationStore(journal.database);
  const times = { 'o-1': 100, 'o-2': 200, 'o-3': 50, 'o-4': 60 };
  for (const [id, requestedAtMs] of Object.entries(times)) {
    await store.insert(operationRecord(id, { requestedAtMs }));
  }
  const listed: string[] = [];
  let after: number | undefined;
  do {
    const page = await store.list(ALL, { after, limit: 1 });
    listed.push(...page.records.map(({ id }) => id));
    after = page.next;
  } while (after !== undefined);
  assert.deepEqual(listed, ['o-4', 'o-3', 'o-2', 'o-1']);
  assert.deepEqual(
    (await store.listOpen()).map(({ id }) => id),
    ['o-1', 'o-2', 'o-3', 'o-4'],
  );
});

test('what ended while the clock was put back is kept as long as what ended before it', async () => {
  using journal = new MemoryJournal();
  const store = new OperationStore(journal.database);
  const ids = async () => (await store.list(ALL, FIRST)).records.map(({ id }) => id);
  // One of long ago, one of late, one with the clock put back, and one with the clock put right again.
  for (const [id, endedAtMs] of [
    ['o-1', 10],
    ['o-2', 100],
    ['o-3', 1],
    ['o-4', 101],
  ] as const) {
    await store.insert(ended(id, endedAtMs));
  }
  assert.equal(await store.prune(105, 0, 50), 1);
  assert.deepEqual(await ids(), ['o-4', 'o-3', 'o-2']);
  // One that ended in what the clock now says is the future is kept, and keeps nothing else.
  await store.insert(ended('o-5', 1_000_000));
  assert.equal(await store.prune(200, 0, 50), 3);
  assert.deepEqual(await ids(), ['o-5']);
});

test('the last so many are those that were asked for last, whatever the clock said when they ended', async () => {
  using journal = new MemoryJournal();
  const store = new OperationStore(journal.database);
  for (const [id, endedAtMs] of [
    ['o-1', 30],
    ['o-2', 20],
    ['o-3', 10],
  ] as const) {
    await store.insert(ended(id, endedAtMs));
  }
  assert.equal(await store.prune(1_000, 1, 1), 2);
  assert.deepEqual(
    (await store.list(ALL, FIRST)).records.map(({ id }) => id),
    ['o-3'],
  );
});

test('those of a namespace are not those of the node', async () => {
  using journal = new MemoryJournal();
  const store = new OperationStore(journal.database);
  await store.insert(operationRecord('o-1'));
  await store.insert(operationRecord('o-2', { kind: 'cordon', vm: THE_NODE }));
  const { records } = await store.list({ ...ALL, namespace: 'default' }, FIRST);
  assert.deepEqual(
    records.map(({ id }) => id),
    ['o-1'],
  );
  assert.equal((await store.list({ ...ALL, namespace: 'shop' }, FIRST)).records.length, 0);
});
