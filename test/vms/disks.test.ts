import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { novactl } from '../e2e/novactl.ts';
import { storyteller } from '../e2e/stories.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';
import { until } from '../fixtures/until.ts';

const DISK_ONLY = ['s2', '--disk-only', '--no-metadata'];
/** Each node has its own. */
const PRIVATE = '/var/lib/libvirt/images';

test('a disk moves where both nodes have it, whatever libvirt thinks of its file system, and nowhere else', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, b, lab } = nodes;
  const shared = lab.plan.sharedImages;
  const at = (name: string) => path.join(shared, name);
  const ctl = (args: string, signal: AbortSignal) => novactl(lab, args.split(' '), signal);

  /** Plan and migration refuse with the same words, and VM and storage are as before. */
  const expectRefused = async (args: string, words: RegExp, signal: AbortSignal) => {
    const [name] = args.split(' ');
    const plan = await ctl(`migrate ${args} --to b --plan`, signal);
    assert.equal(plan.code, 4, plan.stdout + plan.stderr);
    assert.match(plan.stdout, words);
    const deed = await ctl(`migrate ${args} --to b`, signal);
    assert.equal(deed.code, 4, deed.stdout + deed.stderr);
    assert.match(deed.stderr, words);
    assert.match((await ctl('vm list', signal)).stdout, new RegExp(`${name} +Running`));
    await nodes.expectNothingLeft(signal);
    expectNoMarks(shared, a.outside(PRIVATE), b.outside(PRIVATE));
  };

  const runningSince = async (node: 'a' | 'b', name: string, signal: AbortSignal) => {
    const { status } = await nodes.client(node).vms.get({ name }, { signal });
    return status?.runningSince ?? assert.fail(`VM ${name} does not say since when it is on`);
  };

  /** A VM that runs firmware, with one disk. */
  const start = async (name: string, root: object, signal: AbortSignal) => {
    const volumes = [{ name: 'root', format: 'raw', shared: true, ...root }];
    const machine = { resources: { cpu: 1, memory: '64Mi' }, volumes };
    const spec = { runStrategy: 'Manual', template: { spec: machine } };
    const vm = parseVirtualMachine({ metadata: { name }, spec });
    await nodes.client('a').vms.create(toVirtualMachineMessage(vm), { signal });
    await nodes.client('a').vms.start({ name }, { signal });
  };

  await context.test('files that only look alike', async ({ signal }) => {
    const image = `${PRIVATE}/web.raw`;
    for (const node of [a, b]) await node.run(['mkdir', '-p', PRIVATE], signal);
    for (const node of [a, b]) await node.run(['truncate', '-s', '1M', image], signal);
    await start('private', { source: { file: { path: image } } }, signal);
    const words =
      /volume root: \/var\/lib\/libvirt\/images\/web\.raw is not the same on both nodes: node a has raw file web\.raw of 1048576 bytes.*, node b has another file, without the mark; mount/;
    await expectRefused('private', words, signal);
    await expectRefused('private --trust-shared root', words, signal);
    await b.run(['rm', image], signal);
    await expectRefused('private', /web\.raw, which does not exist on this node/, signal);
  });

  await context.test('a device without a name needs somebody who knows', async ({ signal }) => {
    // A raw disk is the guest's: it may write the header of a qcow2 image that names a file of the node, and nothing follows it.
    const header = ['create', '-q', '-f', 'qcow2', '-u', '-F', 'raw', '-b', '/etc/shadow'];
    execFileSync('qemu-img', [...header, at('loop.img'), '1M']);
    const device = execFileSync('losetup', ['-f', '--show', at('loop.img')], { encoding: 'utf8' });
    await using stack = new AsyncDisposableStack();
    stack.defer(() => {
      execFileSync('losetup', ['-d', device.trim()]);
    });
    const asFile = start('wrong', { source: { file: { path: device.trim() } } }, signal);
    await assert.rejects(asFile, /is a block device; name it as source\.block/);
    await start('loop', { source: { block: { path: device.trim() } } }, signal);
    const yaml = await ctl('vm get loop -o yaml', signal);
    assert.match(yaml.stdout, /type: DiskLock\n +status: "?False"?\n +reason: None/);
    // As the plan says it.
    const isTold = async () =>
      /type: LiveMigratable\n +status: "?False"?\n +reason: DiskNotIdentified/.test(
        (await ctl('vm get loop -o yaml', signal)).stdout,
      );
    await until('the device is looked at', isTold);
    const since = await runningSince('a', 'loop', signal);
    await expectRefused('loop', /neither a WWN nor a serial number.*--trust-shared root/, signal);
    const moved = await ctl('migrate loop --to b --trust-shared root', signal);
    assert.equal(moved.code, 0, moved.stderr);
    // A guest has been on for as long as before, wherever it has moved.
    assert.deepEqual(await runningSince('b', 'loop', signal), since);
    assert.equal((await ctl('--node b vm destroy loop', signal)).code, 0);
    assert.equal((await ctl('--node b vm start loop', signal)).code, 0);
    const log = await a.run(['cat', a.agent.logPath], signal);
    const [audited] = log.split('\n').filter((line) => line.includes('by the word of the caller'));
    const { requestedBy, paths } = JSON.parse(audited ?? '{}') as Record<string, unknown>;
    assert.deepEqual(paths, [device.trim()]);
    assert.match(String(requestedBy), /root|unix/);
    assert.equal((await ctl('--node b vm delete loop --force', signal)).code, 0);
  });

  const vm = await nodes.bootVm(a, context.signal);
  const story = storyteller(context, nodes, vm);

  await story('a VM with a snapshot that libvirt knows of', async ({ signal }) => {
    await a.libvirt.virsh(['snapshot-create-as', vm.uid, 's1'], signal);
    await expectRefused(vm.name, /it has 1 snapshots.*virsh snapshot-delete/, signal);
    await a.libvirt.virsh(['snapshot-delete', vm.uid, 's1', '--metadata'], signal);
    const plan = await ctl(`migrate ${vm.name} --to b --plan`, signal);
    assert.equal(plan.code, 0, plan.stdout);
    assert.match(plan.stdout, /volume root, .*qcow2: the same on both nodes/);
    assert.match(plan.stdout, /volume root, .*demo-base\.raw: the same on both nodes/);
  });

  await story('an overlay that is on one node only, then on both', async (stage) => {
    const { signal, seen, epoch } = stage;
    const overlay = (file: string) =>
      a.libvirt.virsh(
        ['snapshot-create-as', vm.uid, ...DISK_ONLY, '--diskspec', `vda,file=${file}`],
        signal,
      );
    await overlay('/run/only-on-a.s2');
    await expectRefused(
      vm.name,
      /\/run\/only-on-a\.s2 is not the same.*node b has nothing/,
      signal,
    );
    // Back into the file that both have, so that the guest lacks nothing.
    await a.libvirt.virsh(['blockcommit', vm.uid, 'vda', '--active', '--pivot', '--wait'], signal);
    await overlay(at(`${vm.name}.s3`));
    const migration = await vm.migrate(a, signal);
    await migration.expectCompleted(signal);
    await seen.expectArrived(b, signal);
    await vm.expectOnlyAt(b, epoch + 1n, signal);
    expectNoMarks(shared);
  });
});

function expectNoMarks(...folders: readonly string[]): void {
  const left = folders.flatMap((folder) =>
    readdirSync(folder).filter((name) => name.startsWith('.novacron-probe-')),
  );
  assert.deepEqual(left, []);
}
