import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { hasReason } from '../../../src/core/errors.ts';
import type { Volume } from '../../../src/core/resources/volume.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { until } from '../../fixtures/until.ts';
import { LibvirtPair } from './libvirt-pair.ts';
import { skipReason } from './private-libvirt.ts';

const never = new AbortController().signal;

// The folder is on a file system that libvirt does not know to be shared, so without our word it refuses each of these.
describe('disks that move', { skip: skipReason() }, () => {
  let pair: LibvirtPair;
  let folder: string;
  const stack = new AsyncDisposableStack();
  before(async () => {
    // Not below /tmp, which may be in memory, where nothing is had past the cache.
    folder = await mkdtemp('/var/tmp/novacron-disks-');
    stack.defer(() => rm(folder, { recursive: true }));
    pair = stack.use(await LibvirtPair.start());
  });
  after(() => stack.disposeAsync());

  /** A VM that runs on the source, with an overlay on a base image. */
  async function startVm(name: string, cache: Volume['cache'] = 'none'): Promise<VmDefinition> {
    const [base, top] = [`${name}-base.qcow2`, `${name}.qcow2`].map((file) => at(file));
    qemuImg('create', '-f', 'qcow2', base ?? '', '64M');
    qemuImg('create', '-f', 'qcow2', '-F', 'qcow2', '-b', base ?? '', top ?? '');
    const root: Volume = {
      name: 'root',
      kind: 'disk',
      format: 'qcow2',
      cache,
      shared: true,
      source: { file: { path: top ?? '' } },
    };
    const vm = tinyVm({ name }, { volumes: [root] });
    await pair.source.domains.define(vm, never);
    await pair.source.domains.start(vm.uid, never);
    return vm;
  }

  const at = (file: string) => path.join(folder, file);
  const imagesOf = async (vm: VmDefinition) => {
    const found = await pair.source.domains.find(vm.uid, never);
    return found?.disks.flatMap(({ images }) => images.map((image) => path.basename(image.path)));
  };

  for (const cache of ['none', 'writeback', 'writethrough', 'directsync'] as const) {
    test(`a disk with the cache mode ${cache} moves by our word alone`, async () => {
      const vm = await startVm(cache, cache);
      const found = await pair.source.domains.find(vm.uid, never);
      assert.ok(found);
      assert.deepEqual(await imagesOf(vm), [`${cache}.qcow2`, `${cache}-base.qcow2`]);
      assert.deepEqual(await pair.source.jobs.findObstacles(vm.uid, never), []);
      const request = pair.migration(vm, 'fast');
      const unknown = pair.source.jobs.migrate(vm.uid, request, never);
      await assert.rejects(unknown, (error) => hasReason(error, 'MIGRATION_BLOCKED'));
      assert.equal((await pair.source.domains.find(vm.uid, never))?.state, 'running');
      await pair.source.jobs.migrate(vm.uid, { ...request, disks: found.disks }, never);
      const arrived = await pair.destination.domains.find(vm.uid, never);
      assert.equal(arrived?.state, 'running');
      assert.deepEqual(arrived?.disks, found.disks);
      assert.doesNotMatch(pair.destinationNode.virsh('dumpxml', vm.uid), /shareable/);
      await pair.destination.domains.destroy(vm.uid, never);
    });
  }

  test('an overlay that was made by hand is seen, and no disk is handed over that was not compared', async () => {
    const vm = await startVm('snapshot');
    const before = await pair.source.domains.find(vm.uid, never);
    const overlay = `vda,file=${at('snapshot.s1')}`;
    const options = ['--disk-only', '--no-metadata', '--diskspec', overlay];
    pair.sourceNode.virsh('snapshot-create-as', vm.uid, 's1', ...options);
    assert.deepEqual(await imagesOf(vm), ['snapshot.s1', 'snapshot.qcow2', 'snapshot-base.qcow2']);
    assert.deepEqual(await pair.source.jobs.findObstacles(vm.uid, never), []);
    const request = { ...pair.migration(vm, 'fast'), disks: before?.disks ?? [] };
    await assert.rejects(pair.source.jobs.migrate(vm.uid, request, never), (error) =>
      hasReason(error, 'MIGRATION_BLOCKED'),
    );
    assert.equal((await pair.source.domains.find(vm.uid, never))?.state, 'running');
    await pair.source.domains.destroy(vm.uid, never);
  });

  test('a disk that was attached by hand while the VM runs is seen by itself', async () => {
    const vm = await startVm('attached');
    const { virsh } = { virsh: pair.sourceNode.virsh.bind(pair.sourceNode) };
    const listed = async () => {
      const found = await pair.source.domains.list(never);
      return found.find(({ uid }) => uid === vm.uid)?.disks.map(({ name }) => name);
    };
    assert.deepEqual(await listed(), ['root']);
    qemuImg('create', '-fraw', at('attached.more'), '1M');
    virsh('attach-disk', vm.uid, at('attached.more'), 'vdb', '--subdriver', 'raw', '--live');
    // Long before it would be looked at again by itself.
    await until('it is seen', async () => isDeepStrictEqual(await listed(), ['root', 'vdb']));
    await pair.source.domains.destroy(vm.uid, never);
  });

  test('what libvirt would refuse is known before', async () => {
    const vm = await startVm('obstacles');
    const { virsh } = { virsh: pair.sourceNode.virsh.bind(pair.sourceNode) };
    const obstacles = () => pair.source.jobs.findObstacles(vm.uid, never);
    virsh('snapshot-create-as', vm.uid, 's1');
    assert.deepEqual(await obstacles(), [{ kind: 'snapshots', count: 1 }]);
    virsh('snapshot-delete', vm.uid, 's1', '--metadata');
    assert.deepEqual(await obstacles(), []);
    virsh('blockcopy', vm.uid, 'vda', at('obstacles.copy'), '--transient-job');
    assert.deepEqual(await obstacles(), [{ kind: 'block-job', target: 'vda' }]);
    const found = await pair.source.domains.find(vm.uid, never);
    const request = { ...pair.migration(vm, 'fast'), disks: found?.disks ?? [] };
    await assert.rejects(pair.source.jobs.migrate(vm.uid, request, never));
    virsh('blockjob', vm.uid, 'vda', '--abort');
    assert.deepEqual(await obstacles(), []);
    await pair.source.domains.destroy(vm.uid, never);
  });
});

function qemuImg(verb: string, ...values: readonly string[]): void {
  execFileSync('qemu-img', [verb, '-q', ...values]);
}
