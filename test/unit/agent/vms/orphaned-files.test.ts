import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { OrphanedFiles } from '../../../../src/agent/vms/orphaned-files.ts';
import { KeyLocks } from '../../../../src/core/key-locks.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { FakeHypervisor } from '../../../fakes/fake-hypervisor.ts';
import { FakePrivateFiles } from '../../../fakes/fake-private-files.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { never, newRequest, OneNode, uidOf } from './one-node.ts';

/** A node with a VM that has a private file, and with the file of one that is gone. */
async function nodeWithOrphan() {
  const hypervisor = new FakeHypervisor();
  const { domains } = hypervisor;
  const privateFiles = new FakePrivateFiles();
  const locks = new KeyLocks();
  const vm = tinyVm();
  const gone = randomUUID();
  await domains.define(vm, never);
  const put = (uid: string) => privateFiles.put(uid, 'user-data', Buffer.from('secret'), never);
  await put(vm.uid);
  await put(gone);
  const orphans = new OrphanedFiles({ domains, privateFiles, locks, log: createLogger('silent') });
  const owners = () => privateFiles.listVms(never);
  return { hypervisor, domains, privateFiles, locks, vm, gone, put, orphans, owners };
}

test('files of a VM that is gone are removed, those of one that is here stay', async () => {
  const { domains, vm, orphans, owners } = await nodeWithOrphan();
  await orphans.remove(await domains.list(never));
  assert.deepEqual(await owners(), [vm.uid]);
});

test('files of a VM that is not ours any more, but here, stay', async () => {
  const { hypervisor, domains, vm, orphans, owners } = await nodeWithOrphan();
  hypervisor.addForeign(vm.uid);
  await orphans.remove(await domains.list(never));
  assert.deepEqual(await owners(), [vm.uid]);
});

test('files of a VM that has come since it was listed stay', async () => {
  const { domains, vm, orphans, owners } = await nodeWithOrphan();
  const listed = (await domains.list(never)).filter(({ uid }) => uid !== vm.uid);
  await orphans.remove(listed);
  assert.deepEqual(await owners(), [vm.uid]);
});

test('files of a VM that somebody makes or moves stay', async () => {
  const { domains, locks, vm, gone, orphans, owners } = await nodeWithOrphan();
  using _lock = locks.tryAcquire(gone, 'migration');
  await orphans.remove(await domains.list(never));
  assert.deepEqual((await owners()).toSorted(), [vm.uid, gone].toSorted());
});

test('while the hypervisor is away nothing is removed, and the next listing brings the next try', async () => {
  const { hypervisor, domains, vm, gone, orphans, owners } = await nodeWithOrphan();
  const listed = await domains.list(never);
  hypervisor.disconnect();
  await orphans.remove(listed);
  // As if all that there is could not be seen.
  await orphans.remove([]);
  assert.deepEqual((await owners()).toSorted(), [vm.uid, gone].toSorted());
  hypervisor.reconnect();
  await orphans.remove(await domains.list(never));
  assert.deepEqual(await owners(), [vm.uid]);
});

test('an agent looks once', async () => {
  const { domains, gone, put, orphans, owners } = await nodeWithOrphan();
  await orphans.remove(await domains.list(never));
  await put(gone);
  await orphans.remove(await domains.list(never));
  assert.ok((await owners()).includes(gone));
});

test('what a killed agent has left of a creation is removed with the first listing', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  await node.privateFiles.put(uidOf(request), 'user-data', Buffer.from('secret'), never);
  await node.inventory.refresh(never);
  await until('it is removed', async () => (await node.privateFiles.listVms(never)).length === 0);
  node.assertFree(uidOf(request));
});
