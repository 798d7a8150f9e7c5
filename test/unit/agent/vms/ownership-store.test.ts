import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ownership } from '../../../../src/agent/vms/ownership.ts';
import { OwnershipStore } from '../../../../src/agent/vms/ownership-store.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const web = {
  uid: 'u-1',
  namespace: 'default',
  name: 'web',
  ownershipEpoch: 3,
  left: undefined,
  isDeleted: false,
};

const DAY_MS = 24 * 3_600_000;

test('ownership comes back as it was put, and as it was before', async () => {
  using journal = new MemoryJournal();
  const store = new OwnershipStore(journal.database);
  const left = { ...web, left: { epoch: 4, toNode: 'node-b' }, ownershipEpoch: 4 };
  assert.ok(await store.put(web));
  assert.ok(await store.put(left));
  assert.deepEqual(await store.list(), [left]);
  await store.put({ ...web, ownershipEpoch: 5 });
  await store.restore('u-1', left);
  assert.deepEqual(await store.list(), [left]);
  await store.restore('u-1', undefined);
  await store.restore('u-1', undefined);
  assert.deepEqual(await store.list(), []);
});

test('of deleted VMs the newest are kept, for seven days; of others all', async () => {
  using journal = new MemoryJournal();
  let nowMs = 0;
  const store = new OwnershipStore(journal.database, () => nowMs, 2);
  await store.put(web);
  for (const uid of ['u-2', 'u-3', 'u-4']) {
    nowMs += DAY_MS;
    await store.put({ ...web, uid, isDeleted: true });
  }
  assert.deepEqual(await store.prune(), ['u-2']);
  nowMs += 7 * DAY_MS;
  assert.deepEqual(await store.prune(), ['u-3']);
  const uids = (await store.list()).map(({ uid }) => uid);
  assert.deepEqual(uids, ['u-1', 'u-4']);
});

test('a lower epoch never replaces a higher one', async () => {
  using journal = new MemoryJournal();
  const store = new OwnershipStore(journal.database);
  await store.put(web);
  assert.equal(await store.put({ ...web, ownershipEpoch: 2, name: 'stale' }), false);
  assert.deepEqual(await store.list(), [web]);
});

test('a VM that was deleted, and made again elsewhere, comes and goes with the epochs that it has then', async () => {
  using journal = new MemoryJournal();
  const store = new OwnershipStore(journal.database);
  const ownership = await Ownership.load(store);
  const vm = tinyVm({ ownershipEpoch: 5 });
  await ownership.own(vm);
  await ownership.forget(vm);
  await ownership.own({ ...vm, ownershipEpoch: 2 });
  assert.ok(ownership.isOwner(vm.uid));
  await ownership.forget({ ...vm, ownershipEpoch: 2 });
  await ownership.release(vm, 3, 'b');
  assert.equal((await Ownership.load(store)).find(vm.uid)?.left?.toNode, 'b');
});

test('a change of owner is known once it is in the journal, and not before', async () => {
  using journal = new MemoryJournal();
  const store = new OwnershipStore(journal.database);
  const vm = tinyVm();
  const ownership = await Ownership.load(store);
  const released = ownership.release(vm, vm.ownershipEpoch + 1, 'b');
  assert.ok(!ownership.isStale(vm));
  await released;
  assert.ok(ownership.isStale(vm));
  assert.ok((await Ownership.load(store)).isStale(vm));
  await ownership.forget(vm);
  assert.ok(ownership.isStale(vm), 'it outlives any copy here');
});

test('a change of owner that cannot be written has not happened', async () => {
  using journal = new MemoryJournal();
  const store = new OwnershipStore(journal.database);
  const vm = tinyVm();
  const ownership = await Ownership.load(store);
  store.put = async () => {
    throw new Error('The disk is full');
  };
  await assert.rejects(ownership.release(vm, vm.ownershipEpoch + 1, 'b'));
  assert.ok(!ownership.isStale(vm));
});
