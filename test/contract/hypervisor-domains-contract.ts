import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { seedImage } from '../../src/core/cloud-init-seed.ts';
import { withEjected } from '../../src/core/ejected-media.ts';
import { AgentError } from '../../src/core/errors.ts';
import type { Machine } from '../../src/core/resources/machine.ts';
import { memoryBytesOf, vcpusOf } from '../../src/core/resources/machine-amounts.ts';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import { type Medium, withMedium } from '../../src/core/vm-medium.ts';
import {
  type HypervisorDomains,
  type HypervisorVm,
  hypervisorNameOf,
} from '../../src/drivers/hypervisor-domains.ts';
import type { HypervisorEvent } from '../../src/drivers/hypervisor-events.ts';
import { testAdoption } from './hypervisor-adoption-contract.ts';
import {
  assertAbortable,
  never,
  rejectsWith,
  started,
  TIMEOUT_MS,
  type UseFixture,
  until,
  writtenByNewerAgent,
} from './hypervisor-fixture.ts';
import { testInterfaces } from './hypervisor-interfaces-contract.ts';

/** What a hypervisor must do with the VMs of its node. */
export function testHypervisorDomains(use: UseFixture): void {
  describe('domains: definitions', () => testDefinitions(use));
  describe('domains: running', () => testRunning(use));
  describe('domains: files of VMs', () => testFiles(use));
  describe('domains: disks for cloud-init', () => testSeeds(use));
  describe('domains: keys of disks', () => testDiskKeys(use));
  describe('domains: interfaces', () => testInterfaces(use));
  describe('domains: adoption', () => testAdoption(use));
}

function testFiles(use: UseFixture): void {
  for (const type of ['uefi', 'bios'] as const) {
    test(`a VM with ${type} has files from its first start until it is forgotten`, async () => {
      const { domains } = use().source;
      const vm = withMachine(use().newDefinition(), { firmware: { type } });
      const hasFiles = async () => (await domains.listFiles(never)).includes(vm.uid);
      await domains.define(vm, never);
      assert.ok(!(await hasFiles()));
      await domains.start(vm.uid, never);
      assert.ok(await hasFiles());
      await domains.destroy(vm.uid, never);
      assert.ok(await hasFiles());
      await domains.undefine(vm.uid, never);
      assert.ok(!(await hasFiles()));
    });

    test(`files of a VM with ${type} go where it goes, and what it leaves can be removed`, async () => {
      const { source, destination, migration } = use();
      const vm = withMachine(use().newDefinition(), { firmware: { type } });
      await source.domains.define(vm, never);
      await source.domains.start(vm.uid, never);
      await source.jobs.migrate(vm.uid, migration(vm, 'fast'), never);
      // A console is logged at the path that it had, which may be the other node's folder.
      if (type === 'uefi') assert.ok((await destination.domains.listFiles(never)).includes(vm.uid));
      for (let times = 0; times < 2; times += 1) {
        await source.domains.removeFiles(vm.uid, never);
        assert.ok(!(await source.domains.listFiles(never)).includes(vm.uid));
      }
      await destination.domains.destroy(vm.uid, never);
    });
  }
}

function imageOf(vm: VmDefinition, text = ''): Buffer {
  return seedImage(vm, { userData: Buffer.from(text), password: undefined });
}

function testSeeds(use: UseFixture): void {
  const withSeed = (): VmDefinition => withMachine(use().newDefinition(), { cloudInit: {} });

  test('a VM with a disk for cloud-init does not start without its image, and starts with it', async () => {
    const { domains } = use().source;
    const vm = withSeed();
    await domains.define(vm, never);
    assert.equal(await domains.hasSeed(vm.uid, never), false);
    await assert.rejects(domains.start(vm.uid, never), AgentError);
    await domains.putSeed(vm.uid, imageOf(vm), never);
    assert.equal(await domains.hasSeed(vm.uid, never), true);
    await domains.start(vm.uid, never);
    // Another one while it runs is for its next start.
    await domains.putSeed(vm.uid, imageOf(vm, '#cloud-config\n'), never);
    assert.equal((await domains.find(vm.uid, never))?.state, 'running');
    await domains.destroy(vm.uid, never);
  });

  test('the disk for cloud-init is none of the volumes, and no change by somebody else', async () => {
    const { domains } = use().source;
    const vm = withSeed();
    await domains.putSeed(vm.uid, imageOf(vm), never);
    await domains.define(vm, never);
    await domains.start(vm.uid, never);
    const found = await domains.find(vm.uid, never);
    assert.deepEqual([found?.volumes, found?.disks, found?.drift], [[], [], []]);
    await domains.define({ ...withMachine(vm, { cloudInit: undefined }), generation: 2 }, never);
    await domains.destroy(vm.uid, never);
    await domains.removeFiles(vm.uid, never);
    await domains.start(vm.uid, never);
    await domains.destroy(vm.uid, never);
  });

  test('the image of a disk for cloud-init is gone with its VM', async () => {
    const { domains } = use().source;
    const vm = withSeed();
    await domains.putSeed(vm.uid, imageOf(vm), never);
    await domains.putSeed(vm.uid, imageOf(vm), never);
    assert.ok((await domains.listFiles(never)).includes(vm.uid));
    await domains.define(vm, never);
    await domains.undefine(vm.uid, never);
    assert.ok(!(await domains.listFiles(never)).includes(vm.uid));
  });

  test('a VM takes its disk for cloud-init along if the other node has one too', async () => {
    const { source, destination, migration } = use();
    const vm = withSeed();
    for (const { domains } of [source, destination]) {
      await domains.putSeed(vm.uid, imageOf(vm), never);
    }
    await source.domains.define(vm, never);
    await source.domains.start(vm.uid, never);
    await source.jobs.migrate(vm.uid, migration(vm, 'fast'), never);
    assert.equal((await destination.domains.find(vm.uid, never))?.state, 'running');
    await source.domains.removeFiles(vm.uid, never);
    assert.equal(await source.domains.hasSeed(vm.uid, never), false);
    await destination.domains.destroy(vm.uid, never);
    await destination.domains.start(vm.uid, never);
    await destination.domains.destroy(vm.uid, never);
  });
}

function testDiskKeys(use: UseFixture): void {
  const KEY = 'open, sesame';

  /** A VM with a disk that this key opens. */
  async function withDisk(): Promise<VmDefinition> {
    const { newDefinition, makeEncryptedDisk } = use();
    const disk = await makeEncryptedDisk(KEY);
    const { encryption } = disk;
    const volume = { name: 'data', kind: 'disk', cache: 'none', size: '8Mi', encryption } as const;
    const vm = withMachine(newDefinition(), { volumes: [{ ...volume, shared: true }] });
    return { ...vm, madeDisks: { data: disk } };
  }

  test('a VM with an encrypted disk does not start without its key, and starts with it', async () => {
    const { domains } = use().source;
    const vm = await withDisk();
    await domains.define(vm, never);
    await assert.rejects(domains.start(vm.uid, never), AgentError);
    for (let times = 0; times < 2; times += 1) {
      await domains.putDiskKeys(vm.uid, { data: KEY }, never);
    }
    await domains.start(vm.uid, never);
    const found = await domains.find(vm.uid, never);
    assert.deepEqual([found?.state, found?.drift], ['running', []]);
    await domains.destroy(vm.uid, never);
  });

  test('the keys of the disks of a VM are gone with it, and with what it has left', async () => {
    const { domains } = use().source;
    const vm = await withDisk();
    await domains.putDiskKeys(vm.uid, { data: KEY, old: 'another' }, never);
    assert.ok((await domains.listFiles(never)).includes(vm.uid));
    await domains.define(vm, never);
    await domains.undefine(vm.uid, never);
    assert.ok(!(await domains.listFiles(never)).includes(vm.uid));
    await domains.putDiskKeys(vm.uid, { data: KEY }, never);
    await domains.removeFiles(vm.uid, never);
    await domains.removeFiles(vm.uid, never);
    assert.ok(!(await domains.listFiles(never)).includes(vm.uid));
  });

  test('a VM arrives with its encrypted disk where its key is', async () => {
    const { source, destination, migration } = use();
    const vm = await withDisk();
    await source.domains.putDiskKeys(vm.uid, { data: KEY }, never);
    await source.domains.define(vm, never);
    await source.domains.start(vm.uid, never);
    const disks = (await source.domains.find(vm.uid, never))?.disks ?? [];
    const request = { ...migration(vm, 'fast'), disks };
    await assert.rejects(source.jobs.migrate(vm.uid, request, never), AgentError);
    await destination.domains.putDiskKeys(vm.uid, { data: KEY }, never);
    await source.jobs.migrate(vm.uid, request, never);
    assert.equal((await destination.domains.find(vm.uid, never))?.state, 'running');
    await destination.domains.destroy(vm.uid, never);
  });
}

function testDefinitions(use: UseFixture): void {
  test('a defined VM is listed, stopped, with its definition', async () => {
    const { domains } = use().source;
    const vm = use().newDefinition();
    await domains.define(vm, never);
    const listed = await findListed(domains, vm.uid);
    assert.equal(listed.state, 'stopped');
    assert.equal(listed.hypervisorName, hypervisorNameOf(vm));
    assert.equal(listed.persistent, true);
    assert.equal(listed.isRead, true);
    assert.deepEqual(listed.definition, vm);
    assert.equal(listed.liveDefinition, undefined);
    assert.deepEqual(await domains.find(vm.uid, never), listed);
  });

  test('a listed VM that was not read says nothing of itself but its name and its state', async () => {
    const { domains } = use().source;
    const vm = use().newDefinition();
    await domains.define(vm, never);
    // The hypervisor decides whether it can be read at once.
    const listed = (await domains.list(never)).find(({ uid }) => uid === vm.uid);
    assert.equal(listed?.hypervisorName, hypervisorNameOf(vm));
    assert.equal(listed.state, 'stopped');
    assert.deepEqual(listed.definition, listed.isRead ? vm : undefined);
    assert.equal((await domains.find(vm.uid, never))?.isRead, true);
  });

  test('its volumes are listed with the guest devices that they were given', async () => {
    const { domains } = use().source;
    const name = 'root';
    const path = '/var/lib/nowhere/root.qcow2';
    const source = { file: { path } };
    const volumes: Machine['volumes'] = [
      { name, kind: 'disk', source, format: 'qcow2', cache: 'none' },
    ];
    const vm = withMachine(use().newDefinition(), { volumes });
    await domains.define(vm, never);
    const found = await domains.find(vm.uid, never);
    assert.deepEqual(found?.volumes, [{ name, target: 'vda', path, format: 'qcow2' }]);
    const [disk] = found?.disks ?? [];
    assert.deepEqual(disk?.images[0], { kind: 'file', path, format: 'qcow2' });
    assert.deepEqual([disk?.name, disk?.target, disk?.cache], [name, 'vda', 'none']);
    await domains.undefine(vm.uid, never);
  });

  test('disks that were made for it are its volumes, the first of them the root, and no change by somebody else', async () => {
    const { domains } = use().source;
    const data = { name: 'data', kind: 'disk', size: '1Gi', cache: 'none' } as const;
    const vm = withMachine(use().newDefinition(), { volumes: [data] });
    const { resources } = vm.spec.template.spec;
    const madeDisks = Object.fromEntries(
      (['root', 'data', 'gone'] as const).map(
        (name) =>
          [
            name,
            {
              path: `/var/lib/nowhere/${name}.img`,
              format: name === 'data' ? 'raw' : 'qcow2',
              bytes: 2 ** 30,
            },
          ] as const,
      ),
    );
    const made = { ...withMachine(vm, { resources: { ...resources, disk: '1Gi' } }), madeDisks };
    await domains.define(made, never);
    const found = await domains.find(vm.uid, never);
    assert.deepEqual(found?.definition?.madeDisks, madeDisks);
    assert.deepEqual(found.drift, []);
    assert.deepEqual(found.volumes, [
      { name: 'root', target: 'vda', path: madeDisks['root']?.path, format: 'qcow2' },
      { name: 'data', target: 'vdb', path: madeDisks['data']?.path, format: 'raw' },
    ]);
    await domains.undefine(vm.uid, never);
  });

  test('what is in a drive is exchanged at once, stays so, and is no change by somebody else', async () => {
    const { domains } = use().source;
    const iso = use().mediumPath;
    const volumes: Machine['volumes'] = [
      { name: 'setup', kind: 'cdrom', format: 'raw', cache: 'none' },
    ];
    const vm = withMachine(use().newDefinition(), { volumes });
    await domains.define(vm, never);
    await domains.start(vm.uid, never);
    const changeTo = async (medium: Medium, generation: number) => {
      const changed = { ...withMedium(vm, 'setup', medium), generation };
      for (let times = 0; times < 2; times += 1) {
        await domains.changeMedium(changed, 'setup', { isForced: false }, never);
      }
      const found = await domains.find(vm.uid, never);
      assert.deepEqual([found?.definition, found?.liveDefinition], [changed, undefined]);
      assert.deepEqual(found?.drift, []);
      return found?.volumes[0]?.path;
    };
    assert.equal(await changeTo({ file: { path: iso } }, 2), iso);
    assert.equal((await domains.find(vm.uid, never))?.disks[0]?.images[0]?.path, iso);
    assert.equal(await changeTo(undefined, 3), undefined);
    assert.deepEqual((await domains.find(vm.uid, never))?.disks[0]?.images, []);
    await domains.destroy(vm.uid, never);
    assert.equal(await changeTo({ file: { path: iso } }, 4), iso);
    await domains.undefine(vm.uid, never);
  });

  test('what a guest ejects is seen, and stays out from then on, at later starts too', async () => {
    const { domains } = use().source;
    const path = use().mediumPath;
    const volumes: Machine['volumes'] = [
      { name: 'setup', kind: 'cdrom', format: 'raw', cache: 'none', source: { file: { path } } },
    ];
    const vm = withMachine(use().newDefinition(), { volumes });
    await domains.define(vm, never);
    await domains.start(vm.uid, never);
    use().openDrive(vm.uid, 'setup');
    await until('the drive is open', async () => {
      const [drive] = (await domains.find(vm.uid, never))?.volumes ?? [];
      return drive?.isOpen === true && drive.path === path;
    });
    const ejected = withEjected(vm, 'setup', path);
    const expectEmpty = async () => {
      const found = await domains.find(vm.uid, never);
      const [drive] = found?.volumes ?? [];
      assert.deepEqual([drive?.path, drive?.isOpen], [undefined, undefined]);
      assert.deepEqual(found?.definition, ejected);
      assert.deepEqual([found?.liveDefinition, found?.drift], [undefined, []]);
    };
    for (const isTakenOut of [true, false]) {
      assert.equal(await domains.keepEjected(ejected, 'setup', never), isTakenOut);
      await expectEmpty();
    }
    await domains.define(ejected, never);
    await expectEmpty();
    await domains.destroy(vm.uid, never);
    await domains.start(vm.uid, never);
    await expectEmpty();
    // What is put in again is in.
    await domains.changeMedium(vm, 'setup', { isForced: false }, never);
    const again = await domains.find(vm.uid, never);
    assert.deepEqual([again?.volumes[0]?.path, again?.definition], [path, vm]);
    assert.deepEqual([again?.liveDefinition, again?.drift], [undefined, []]);
    await domains.destroy(vm.uid, never);
  });

  test('what a guest has shut again before it is taken out stays in, and is not said to be ejected', async () => {
    const { domains } = use().source;
    const path = use().mediumPath;
    const volumes: Machine['volumes'] = [
      { name: 'setup', kind: 'cdrom', format: 'raw', cache: 'none', source: { file: { path } } },
    ];
    const vm = withMachine(use().newDefinition(), { volumes });
    await domains.define(vm, never);
    await domains.start(vm.uid, never);
    const untilOpen = (isOpen: boolean) =>
      until(`the drive is ${isOpen ? 'open' : 'shut'}`, async () => {
        const [drive] = (await domains.find(vm.uid, never))?.volumes ?? [];
        return (drive?.isOpen === true) === isOpen;
      });
    use().openDrive(vm.uid, 'setup');
    await untilOpen(true);
    use().shutDrive(vm.uid, 'setup');
    await untilOpen(false);
    assert.equal(await domains.keepEjected(withEjected(vm, 'setup', path), 'setup', never), false);
    const found = await domains.find(vm.uid, never);
    assert.deepEqual([found?.volumes[0]?.path, found?.definition], [path, vm]);
    assert.deepEqual([found?.liveDefinition, found?.drift], [undefined, []]);
    await domains.destroy(vm.uid, never);
  });

  test('a drive that the running VM does not have yet is not filled', async () => {
    const { domains } = use().source;
    const vm = await started(use());
    const volumes: Machine['volumes'] = [
      { name: 'setup', kind: 'cdrom', format: 'raw', cache: 'none' },
    ];
    const changed = withMachine(vm, { volumes });
    await domains.define(changed, never);
    const work = domains.changeMedium(changed, 'setup', { isForced: false }, never);
    await rejectsWith('DEVICE_IN_USE', work);
    await domains.destroy(vm.uid, never);
  });

  test('defining a stopped VM again changes it at once', async () => {
    const { domains } = use().source;
    const vm = use().newDefinition();
    await domains.define(vm, never);
    await domains.define({ ...vm, generation: 2 }, never);
    const found = await domains.find(vm.uid, never);
    assert.equal(found?.definition?.generation, 2);
    assert.equal(found?.liveDefinition, undefined);
    const listed = (await domains.list(never)).filter(({ uid }) => uid === vm.uid);
    assert.deepEqual(
      listed.map(({ definition }) => definition?.generation),
      [2],
    );
  });

  test('a running VM keeps what it was started with until its next start', async () => {
    const { domains, statistics } = use().source;
    const vm = await started(use());
    const resources = { ...vm.spec.template.spec.resources, memory: '96Mi' };
    const changed = { ...withMachine(vm, { resources }), generation: 2 };
    await domains.define(changed, never);
    const listed = await findListed(domains, vm.uid);
    assert.equal(listed.state, 'running');
    assert.deepEqual(listed.definition, changed);
    assert.deepEqual(listed.liveDefinition, vm);
    await domains.destroy(vm.uid, never);
    await domains.start(vm.uid, never);
    const restarted = await domains.find(vm.uid, never);
    assert.deepEqual(restarted?.definition, changed);
    assert.equal(restarted?.liveDefinition, undefined);
    await until('it has the memory', async () => {
      const figures = (await statistics.sample(never)).get(vm.uid);
      return (figures?.memoryActualBytes ?? 0) >= memoryBytesOf({ resources });
    });
    await domains.destroy(vm.uid, never);
  });

  test('what somebody else changes of a definition is told, until it is defined again', async () => {
    const { source, newDefinition, changeByHand } = use();
    const { domains } = source;
    const disk = { file: { path: '/var/lib/nowhere/root.raw' } };
    const vm = withMachine(newDefinition(), {
      volumes: [{ name: 'root', kind: 'disk', source: disk, format: 'raw', cache: 'none' }],
    });
    await domains.define(vm, never);
    assert.deepEqual((await findListed(domains, vm.uid)).drift, []);
    changeByHand(vm.uid, 'memory');
    // Not every such change is told by an event, so that a listing alone may see it late.
    assert.deepEqual((await domains.find(vm.uid, never))?.drift, ['memory']);
    assert.deepEqual((await findListed(domains, vm.uid)).drift, ['memory']);
    changeByHand(vm.uid, 'volumes');
    const drift = new Set((await domains.find(vm.uid, never))?.drift);
    assert.deepEqual(drift, new Set(['memory', 'volumes']));
    await domains.define(vm, never);
    const found = await domains.find(vm.uid, never);
    assert.deepEqual([found?.drift, found?.definition], [[], vm]);
    await domains.undefine(vm.uid, never);
  });

  test('a VM that has gone is defined again as it was, with what somebody else had changed', async () => {
    const { source, newDefinition, changeByHand } = use();
    const { domains } = source;
    const disk = { file: { path: '/var/lib/nowhere/root.raw' } };
    const vm = withMachine(newDefinition(), {
      volumes: [{ name: 'root', kind: 'disk', source: disk, format: 'raw', cache: 'none' }],
    });
    assert.equal(await domains.readBlueprint(vm.uid, never), undefined);
    await domains.define(vm, never);
    changeByHand(vm.uid, 'volumes');
    const before = await domains.find(vm.uid, never);
    assert.deepEqual(before?.drift, ['volumes']);
    const blueprint = await domains.readBlueprint(vm.uid, never);
    assert.ok(blueprint);
    await domains.undefine(vm.uid, never);
    for (let times = 0; times < 2; times += 1) {
      await domains.defineAgain(vm.uid, blueprint, never);
      const after = await domains.find(vm.uid, never);
      assert.deepEqual(
        [after?.state, after?.definition, after?.drift, after?.disks],
        ['stopped', vm, ['volumes'], before.disks],
      );
    }
    await domains.undefine(vm.uid, never);
    const namesake = { ...newDefinition(), namespace: vm.namespace, name: vm.name };
    await domains.define(namesake, never);
    await rejectsWith('VM_ALREADY_EXISTS', domains.defineAgain(vm.uid, blueprint, never));
    await domains.undefine(namesake.uid, never);
  });

  test('a running VM that somebody has undefined is told, and stays once it is defined again', async () => {
    const { domains } = use().source;
    const vm = await started(use());
    assert.deepEqual((await domains.find(vm.uid, never))?.drift, []);
    use().changeByHand(vm.uid, 'memory');
    assert.deepEqual((await domains.find(vm.uid, never))?.drift, ['memory']);
    use().changeByHand(vm.uid, 'persistence');
    const { persistent, drift } = (await domains.find(vm.uid, never)) ?? {};
    assert.equal(persistent, false);
    assert.ok(drift?.includes('persistence'));
    await domains.define(vm, never);
    const found = await domains.find(vm.uid, never);
    assert.deepEqual([found?.state, found?.persistent, found?.drift], ['running', true, []]);
    await domains.destroy(vm.uid, never);
    assert.deepEqual((await domains.find(vm.uid, never))?.definition, vm);
    await domains.start(vm.uid, never);
    assert.equal((await domains.find(vm.uid, never))?.state, 'running');
    await domains.destroy(vm.uid, never);
  });

  test('a name can be had by one VM only', async () => {
    const { domains } = use().source;
    const vm = use().newDefinition();
    await domains.define(vm, never);
    await rejectsWith('VM_ALREADY_EXISTS', domains.define({ ...vm, uid: randomUUID() }, never));
  });

  test('a run says when it has begun, until it ends, whatever is changed meanwhile', async () => {
    const { domains } = use().source;
    const beforeMs = Date.now();
    const vm = await started(use());
    const since = async () => (await domains.find(vm.uid, never))?.runningSinceMs;
    const startedMs = (await since()) ?? 0;
    assert.ok(startedMs >= beforeMs && startedMs <= Date.now(), String(startedMs));
    await domains.start(vm.uid, never);
    await domains.setFacts(vm.uid, { ownershipEpoch: 2 }, never);
    await domains.define({ ...vm, generation: 2, ownershipEpoch: 2 }, never);
    assert.equal(await since(), startedMs);
    // What is defined again from its run does not keep it for the next one.
    use().changeByHand(vm.uid, 'persistence');
    await domains.define({ ...vm, generation: 2, ownershipEpoch: 2 }, never);
    await domains.destroy(vm.uid, never);
    assert.equal(await since(), undefined);
    const againMs = Date.now();
    await domains.start(vm.uid, never);
    assert.ok(((await since()) ?? 0) >= againMs);
    await domains.destroy(vm.uid, never);
  });

  test('changed facts are seen at once, and the rest stays, now and after the run', async () => {
    const { domains } = use().source;
    const vm = await started(use());
    const facts = { ownershipEpoch: 7, owner: randomUUID(), intent: 'off' } as const;
    await domains.setFacts(vm.uid, facts, never);
    const listed = await findListed(domains, vm.uid);
    assert.deepEqual(listed.definition, { ...vm, ...facts });
    assert.equal(listed.liveDefinition, undefined);
    await domains.setFacts(vm.uid, { ownershipEpoch: 8 }, never);
    await domains.destroy(vm.uid, never);
    const found = await domains.find(vm.uid, never);
    assert.deepEqual(found?.definition, { ...vm, ...facts, ownershipEpoch: 8 });
  });

  test('changed facts leave both the old and the new definition of a changed VM as they are', async () => {
    const { domains } = use().source;
    const vm = await started(use());
    const changed = { ...vm, generation: 2, annotations: { note: 'öl & <gas>' } };
    await domains.define(changed, never);
    await domains.setFacts(vm.uid, { ownershipEpoch: 3 }, never);
    const found = await domains.find(vm.uid, never);
    assert.deepEqual(found?.definition, { ...changed, ownershipEpoch: 3 });
    assert.deepEqual(found?.liveDefinition, { ...vm, ownershipEpoch: 3 });
    await domains.destroy(vm.uid, never);
  });

  test('what a newer agent has written stays byte for byte when facts change', async () => {
    const { domains } = use().source;
    const vm = writtenByNewerAgent(use().newDefinition());
    assert.deepEqual(vm.newer?.unknownFields, ['spec.hologram']);
    await domains.define(vm, never);
    assert.deepEqual((await domains.find(vm.uid, never))?.definition, vm);
    await domains.start(vm.uid, never);
    await domains.setFacts(vm.uid, { ownershipEpoch: 2 }, never);
    const running = await domains.find(vm.uid, never);
    assert.deepEqual(running?.definition, { ...vm, ownershipEpoch: 2 });
    assert.equal(running?.definition?.newer?.manifest, vm.newer?.manifest);
    await domains.destroy(vm.uid, never);
    const stopped = await domains.find(vm.uid, never);
    assert.equal(stopped?.definition?.newer?.manifest, vm.newer?.manifest);
  });

  test('what a newer agent has written is not changed, nor put in the place of what is known', async () => {
    const { domains } = use().source;
    const vm = use().newDefinition();
    const newer = writtenByNewerAgent(vm);
    await domains.define(vm, never);
    await rejectsWith('VM_SPEC_NEWER', domains.define(newer, never));
    assert.deepEqual((await domains.find(vm.uid, never))?.definition, vm);
    await domains.undefine(vm.uid, never);
    await domains.define(newer, never);
    await rejectsWith('VM_SPEC_NEWER', domains.define({ ...vm, generation: 2 }, never));
    assert.deepEqual((await domains.find(vm.uid, never))?.definition, newer);
  });

  test('the CPUs and memory that it has are listed, whatever is wanted next', async () => {
    const { domains } = use().source;
    const vm = await started(use());
    const resources = { cpu: '2', memory: '96Mi' };
    await domains.define(withMachine(vm, { resources }), never);
    const { vcpus, memoryBytes } = (await domains.find(vm.uid, never)) ?? {};
    const machine = vm.spec.template.spec;
    assert.deepEqual([vcpus, memoryBytes], [vcpusOf(machine), memoryBytesOf(machine)]);
    await domains.destroy(vm.uid, never);
  });

  test('it is known which changes wait for the next start', () => {
    const { domains } = use().source;
    assert.equal(domains.effectOf('metadata.labels'), 'now');
    assert.equal(domains.effectOf('spec.template.spec.resources.memory'), 'next-start');
    assert.equal(domains.effectOf('spec.template.spec.volumes[0].source'), 'next-start');
  });
}

function testRunning(use: UseFixture): void {
  test('a started VM runs, and starting it again changes nothing', async () => {
    const { domains } = use().source;
    const vm = await started(use());
    await domains.start(vm.uid, never);
    const { state, stateReason } = (await domains.find(vm.uid, never)) ?? {};
    assert.deepEqual([state, stateReason], ['running', 'booted']);
    await domains.destroy(vm.uid, never);
  });

  test('a VM can be suspended and resumed, each more than once', async () => {
    const { domains } = use().source;
    const vm = await started(use());
    await domains.suspend(vm.uid, never);
    await domains.suspend(vm.uid, never);
    const paused = await domains.find(vm.uid, never);
    assert.deepEqual([paused?.state, paused?.stateReason], ['paused', 'user']);
    await domains.resume(vm.uid, never);
    await domains.resume(vm.uid, never);
    const resumed = await domains.find(vm.uid, never);
    assert.deepEqual([resumed?.state, resumed?.stateReason], ['running', 'resumed']);
    await domains.destroy(vm.uid, never);
  });

  test('a stopped VM can neither be suspended nor resumed', async () => {
    const { domains } = use().source;
    const vm = use().newDefinition();
    await domains.define(vm, never);
    await rejectsWith('VM_NOT_RUNNING', domains.suspend(vm.uid, never));
    await rejectsWith('VM_NOT_RUNNING', domains.resume(vm.uid, never));
  });

  test('a reset VM runs on as it did, and a paused one stays paused', async () => {
    const { domains, events } = use().source;
    const vm = await started(use());
    const seen = nextReboot(events.watch(AbortSignal.timeout(TIMEOUT_MS)), vm.uid);
    await domains.reset(vm.uid, never);
    await seen;
    assert.equal((await domains.find(vm.uid, never))?.state, 'running');
    await domains.suspend(vm.uid, never);
    await domains.reset(vm.uid, never);
    const paused = await domains.find(vm.uid, never);
    assert.deepEqual([paused?.state, paused?.stateReason], ['paused', 'user']);
    await domains.destroy(vm.uid, never);
  });

  test('only the guest of a VM that goes on can be asked to reboot', async () => {
    const { domains } = use().source;
    const vm = await started(use());
    await domains.reboot(vm.uid, never);
    await domains.suspend(vm.uid, never);
    await rejectsWith('VM_NOT_RUNNING', domains.reboot(vm.uid, never));
    await domains.destroy(vm.uid, never);
    await rejectsWith('VM_NOT_RUNNING', domains.reboot(vm.uid, never));
    await rejectsWith('VM_NOT_RUNNING', domains.reset(vm.uid, never));
  });

  test('stopping a stopped VM counts as done', async () => {
    const { domains } = use().source;
    const vm = await started(use());
    await domains.destroy(vm.uid, never);
    await domains.destroy(vm.uid, never);
    await domains.shutdown(vm.uid, never);
    const { state, stateReason } = (await domains.find(vm.uid, never)) ?? {};
    assert.deepEqual([state, stateReason], ['stopped', 'destroyed']);
  });

  test('a running VM is not forgotten, a stopped one is, and forgetting repeats', async () => {
    const { domains } = use().source;
    const vm = await started(use());
    await rejectsWith('VM_RUNNING', domains.undefine(vm.uid, never));
    await domains.destroy(vm.uid, never);
    await domains.undefine(vm.uid, never);
    await domains.undefine(vm.uid, never);
    assert.equal(await domains.find(vm.uid, never), undefined);
    assert.ok(!(await domains.list(never)).some(({ uid }) => uid === vm.uid));
  });

  test('an unknown VM is not found', async () => {
    const { domains } = use().source;
    const { uid } = use().newDefinition();
    assert.equal(await domains.find(uid, never), undefined);
    await rejectsWith('VM_NOT_FOUND', domains.start(uid, never));
    await rejectsWith('VM_NOT_FOUND', domains.shutdown(uid, never));
    await rejectsWith('VM_NOT_FOUND', domains.destroy(uid, never));
    await rejectsWith('VM_NOT_FOUND', domains.suspend(uid, never));
    await rejectsWith('VM_NOT_FOUND', domains.resume(uid, never));
    await rejectsWith('VM_NOT_FOUND', domains.reset(uid, never));
    await rejectsWith('VM_NOT_FOUND', domains.reboot(uid, never));
    await rejectsWith('VM_NOT_FOUND', domains.setFacts(uid, { ownershipEpoch: 2 }, never));
  });

  test('an aborted listing rejects with the reason it was aborted for', async () => {
    const { domains } = use().source;
    await assertAbortable((signal) => domains.list(signal));
  });
}

async function nextReboot(events: AsyncIterable<HypervisorEvent>, vmUid: string): Promise<void> {
  for await (const event of events) {
    if (event.kind === 'lifecycle' && event.uid === vmUid && event.event === 'rebooted') return;
  }
  assert.fail('The event never came');
}

function withMachine(vm: VmDefinition, changes: Partial<Machine>): VmDefinition {
  const { template } = vm.spec;
  const machine = { ...template.spec, ...changes };
  return { ...vm, spec: { ...vm.spec, template: { ...template, spec: machine } } };
}

/** As it is listed once its definition was read: a listing does not wait for a VM that is slow to answer. */
async function findListed(domains: HypervisorDomains, vmUid: string): Promise<HypervisorVm> {
  let found: HypervisorVm | undefined;
  await until('it is listed with its definition', async () => {
    found = (await domains.list(never)).find(({ uid }) => uid === vmUid);
    return found?.isRead === true;
  });
  assert.ok(found);
  return found;
}
