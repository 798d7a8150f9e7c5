import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { DiskCopies } from '../../../../src/agent/images/disk-copies.ts';
import { OrphanedFileController } from '../../../../src/agent/vms/orphaned-file-controller.ts';
import { VmDisks } from '../../../../src/agent/vms/vm-disks.ts';
import { KeyLocks } from '../../../../src/core/key-locks.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { FakeDiskFiles } from '../../../fakes/fake-disk-files.ts';
import { FakeHypervisor } from '../../../fakes/fake-hypervisor.ts';
import { FakeImages } from '../../../fakes/fake-images.ts';
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
  const log = createLogger('silent');
  const secrets = { unlessInUse: (_folder: string, act: () => Promise<void>) => act() };
  const images = new FakeImages();
  const diskFiles = new FakeDiskFiles(images);
  const { host } = hypervisor;
  const sources = { foresee: unused, get: unused };
  const keys = { find: unused };
  const copies = new DiskCopies({ files: diskFiles, host, log });
  const folder = '/srv/disks';
  const disks = new VmDisks({
    files: diskFiles,
    images,
    sources,
    copies,
    host,
    keys,
    folder,
    hasPeers: () => false,
  });
  const parts = { domains, privateFiles, disks, secrets, locks, log };
  const controller = new OrphanedFileController(parts);
  /** Has the controller see to all files that there are. */
  const sweep = async () => {
    for (const uid of await controller.findOthers(never)) await controller.reconcile(uid, never);
  };
  const owners = () => privateFiles.listVms(never);
  images.add('/a');
  const seen = { vm, gone, sweep, owners };
  return { hypervisor, domains, privateFiles, locks, diskFiles, disks, copies, ...seen };
}

async function unused(): Promise<never> {
  throw new Error('no image is asked for');
}

test('files of a VM that is gone are removed, those of one that is here stay', async () => {
  const { vm, sweep, owners } = await nodeWithOrphan();
  await sweep();
  assert.deepEqual(await owners(), [vm.uid]);
});

test('keys of disks of a VM that is gone are removed, those of one that is here stay', async () => {
  const { vm, gone, hypervisor, domains, sweep } = await nodeWithOrphan();
  for (const uid of [vm.uid, gone]) await domains.putDiskKeys(uid, { data: 'sesame' }, never);
  await sweep();
  assert.deepEqual(hypervisor.diskKeysOf(vm.uid), { data: 'sesame' });
  assert.equal(hypervisor.diskKeysOf(gone), undefined);
});

test('UEFI variables of a VM that is gone are removed, those of one that is here stay', async () => {
  const { domains, hypervisor, sweep } = await nodeWithOrphan();
  const vm = tinyVm({}, { firmware: { type: 'uefi' } });
  await domains.define(vm, never);
  await domains.start(vm.uid, never);
  const gone = randomUUID();
  hypervisor.leaveFiles(gone);
  assert.deepEqual(await domains.listFiles(never), [vm.uid, gone]);
  await sweep();
  assert.deepEqual(await domains.listFiles(never), [vm.uid]);
});

test('files of a VM that is not ours any more, but here, stay', async () => {
  const { hypervisor, vm, sweep, owners } = await nodeWithOrphan();
  hypervisor.addForeign(vm.uid);
  await sweep();
  assert.deepEqual(await owners(), [vm.uid]);
});

test('files of a VM that somebody makes or moves stay', async () => {
  const { locks, vm, gone, sweep, owners } = await nodeWithOrphan();
  using _lock = locks.tryAcquire(gone, 'migration');
  await sweep();
  assert.deepEqual((await owners()).toSorted(), [vm.uid, gone].toSorted());
});

test('while the hypervisor is away nothing is removed', async () => {
  const { hypervisor, vm, gone, sweep, owners } = await nodeWithOrphan();
  hypervisor.disconnect();
  await assert.rejects(sweep(), { reason: 'HYPERVISOR_UNREACHABLE' });
  assert.deepEqual((await owners()).toSorted(), [vm.uid, gone].toSorted());
});

test('what a killed agent has left of a creation is removed when the next has listed its VMs', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  await node.privateFiles.put(uidOf(request), 'user-data', Buffer.from('secret'), never);
  node.agent.run();
  await until('it is removed', async () => (await node.privateFiles.listVms(never)).length === 0);
  node.assertFree(uidOf(request));
});

const fileOf = (uid: string, name: string) => `/srv/disks/${uid}-${name}.raw`;

test('half-made disks are removed, of VMs that are here too, but what is copied just now stays', async () => {
  const { diskFiles, disks, copies, vm, gone, sweep } = await nodeWithOrphan();
  const like = { format: 'raw', bytes: 2 ** 20, owner: undefined } as const;
  const kept = fileOf(gone, 'root');
  await diskFiles.make({ ...like, path: kept }, never);
  for (const uid of [vm.uid, gone]) {
    await diskFiles.make({ ...like, path: `${fileOf(uid, 'a')}.new` }, never);
    await diskFiles.make({ ...like, path: `${fileOf(uid, 'b')}.copied` }, never);
  }
  const goOn = Promise.withResolvers<void>();
  diskFiles.holdCopies = goOn.promise;
  const known = { source: 'file:///a', digest: 'sha256:a', path: '/a', bytes: 1 };
  const image = { ...known, format: 'raw' } as const;
  const copied = { path: fileOf(vm.uid, 'c'), format: 'raw', bytes: 512, image } as const;
  await copies.want(copied, 'an operation');
  await sweep();
  assert.deepEqual(diskFiles.paths, [kept, `${copied.path}.new`]);
  copies.drop('an operation');
  await until('it is thrown away', () => diskFiles.paths.length === 1);
  assert.deepEqual(await disks.listOwners(never), []);
});
