import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ownership } from '../../../../src/agent/vms/ownership.ts';
import { OwnershipStore } from '../../../../src/agent/vms/ownership-store.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const web = { uid: 'u-1', namespace: 'default', name: 'web', ownershipEpoch: 3, left: undefined };

test('ownership comes back as it was put and is gone once removed', async () => {
  using journal = new MemoryJournal();
  const store = new OwnershipStore(journal.database);
  const left = { ...web, left: { epoch: 4, toNode: 'node-b' }, ownershipEpoch: 4 };
  assert.ok(await store.put(web));
  assert.ok(await store.put(left));
  assert.deepEqual(await store.list(), [left]);
  await store.remove('u-1');
  await store.remove('u-1');
  assert.deepEqual(await store.list(), []);
});

test('a lower epoch never replaces a higher one', async () => {
  using journal = new MemoryJournal();
  const store = new OwnershipStore(journal.database);
  await store.put(web);
  assert.equal(await store.put({ ...web, ownershipEpoch: 2, name: 'stale' }), false);
  assert.deepEqual(await store.list(), [web]);
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
  await ownership.forget(vm.uid);
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
