import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { Lab } from '../../lab/lab.ts';
import { GUEST_BRIDGE } from '../../lab/node/guest-network.ts';
import { EXIT_CODES } from '../../src/cli/process/exit-codes.ts';
import { GuestVm } from '../e2e/guest-vm.ts';

/* What a user of novactl plugs into a VM that runs, and what its guest sees of that. */

const MIB = 2 ** 20;
const PATIENCE_MS = 60_000;

interface Manifest {
  spec: { template: { spec: { volumes?: object[]; networks?: object[] } } };
  status?: { pendingChanges?: { field: string; waitsFor: string }[] };
}

test('disks, interfaces and links of a VM that runs', async (context) => {
  const { signal } = context;
  await using lab = await Lab.create({ nodes: ['a', 'b'] }, signal);
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  const vm = await GuestVm.boot(lab, { name: 'web', hasDisk: true }, signal);
  const { agent } = lab.node('a');
  const inGuest = async (...words: string[]) => (await vm.exec('sh', '-c', words.join(' '))).stdout;
  const listed = (folder: string, ...options: string[]) =>
    vm.ok([...options, 'vm', 'guest', 'exec', 'web', '--', 'sh', '-c', `echo ${folder}/*`]);
  const manifest = async (): Promise<Manifest> =>
    JSON.parse(await vm.ok(['vm', 'get', 'web', '-o', 'json'])) as Manifest;
  const pending = async () => (await manifest()).status?.pendingChanges ?? [];
  /** As an editor does: what there is, changed. */
  const edit = async (change: (spec: Manifest['spec']['template']['spec']) => void) => {
    const { status: _status, ...wanted } = await manifest();
    change(wanted.spec.template.spec);
    return await vm.ok(['vm', 'apply', '-f', '-'], JSON.stringify(wanted));
  };
  const seen = (what: string, test: () => Promise<boolean>) =>
    waitUntil(what, PATIENCE_MS, test, signal);

  await context.test('a disk is plugged in, and its guest knows it by its name', async () => {
    const add = ['vm', 'attach-disk', 'web', 'extra', '--size', '64Mi', '--shared'];
    const dry = await vm.ok([...add, '--dry-run']);
    assert.match(
      dry,
      /would be changed\n {2}spec\.template\.spec\.volumes\[1\]: .*\(while it runs\)/,
    );
    assert.match(await vm.ok(add), /web changed/);
    assert.deepEqual(await pending(), []);
    await seen('the disk', async () => (await inGuest('cat /sys/block/vdb/serial')) === 'extra');
    assert.equal(Number(await inGuest('cat /sys/block/vdb/size')) * 512, 64 * MIB);
    const twice = await vm.ctl(add);
    assert.equal(twice.code, EXIT_CODES.refused, twice.stderr);
    assert.match(twice.stderr, /it has a volume of that name/);
  });

  await context.test('it is made larger, and its guest sees that at once', async () => {
    await inGuest('echo kept >/dev/vdb');
    const text = await edit(({ volumes }) => Object.assign(volumes?.[1] ?? {}, { size: '96Mi' }));
    assert.match(text, /volumes\[1\]\.size: 64Mi -> 96Mi \(now\)/);
    assert.equal(Number(await inGuest('cat /sys/block/vdb/size')) * 512, 96 * MIB);
    assert.equal(await inGuest('head -c 5 /dev/vdb'), 'kept\n');
    const { status: _status, ...wanted } = await manifest();
    Object.assign(wanted.spec.template.spec.volumes?.[1] ?? {}, { size: '32Mi' });
    const { code, stderr } = await vm.ctl(['vm', 'apply', '-f', '-'], JSON.stringify(wanted));
    assert.equal(code, EXIT_CODES.refused, stderr);
    assert.match(
      stderr,
      /volumes\[1\]\.size is 32Mi, and the disk .* has 96Mi: a disk is not made smaller/,
    );
  });

  await context.test('an interface is plugged in, its link is pulled, and it goes', async () => {
    const lan = { name: 'lan', type: 'bridge', bridge: GUEST_BRIDGE };
    await edit((spec) => Object.assign(spec, { networks: [lan] }));
    await seen('eth0', async () => (await listed('/sys/class/net')).includes('eth0'));
    await inGuest('echo 0x1003 >/sys/class/net/eth0/flags');
    await seen('a link', async () => (await inGuest('cat /sys/class/net/eth0/carrier')) === '1\n');
    const down = await edit((spec) =>
      Object.assign(spec, { networks: [{ ...lan, link: 'down' }] }),
    );
    assert.match(down, /networks\[0\]\.link: not set -> down \(while it runs\)/);
    await seen('no link', async () => (await inGuest('cat /sys/class/net/eth0/carrier')) === '0\n');
    await edit((spec) => Object.assign(spec, { networks: [lan] }));
    await seen('a link', async () => (await inGuest('cat /sys/class/net/eth0/carrier')) === '1\n');
    await edit((spec) => Object.assign(spec, { networks: [] }));
    await seen('no eth0', async () => !(await listed('/sys/class/net')).includes('eth0'));
  });

  await context.test(
    'it moves with what was plugged in, and goes on being changed there',
    async () => {
      await vm.ok(['migrate', 'web', '--to', 'b']);
      await vm.untilConnected('--node', 'b');
      const { code, stdout } = await vm.ctl([
        '--node',
        'b',
        'vm',
        'guest',
        'exec',
        'web',
        '--',
        'cat',
        '/sys/block/vdb/serial',
      ]);
      assert.deepEqual([code, stdout], [0, 'extra']);
      await vm.ok(['--node', 'b', 'vm', 'detach-disk', 'web', 'extra']);
      const left = await listed('/sys/block', '--node', 'b');
      assert.doesNotMatch(left, /vdb/);
      await vm.ok([
        '--node',
        'b',
        'vm',
        'attach-disk',
        'web',
        'extra',
        '--size',
        '96Mi',
        '--shared',
      ]);
      await vm.ok(['--node', 'b', 'migrate', 'web', '--to', 'a']);
      await vm.untilConnected();
      assert.equal(await inGuest('head -c 5 /dev/vdb'), 'kept\n');
    },
  );

  await context.test(
    'a guest that stands still keeps its disk, until it goes on, whoever was killed meanwhile',
    async () => {
      await vm.ok(['vm', 'suspend', 'web']);
      const { code, stderr } = await vm.ctl([
        'vm',
        'detach-disk',
        'web',
        'extra',
        '--timeout',
        '6s',
      ]);
      assert.equal(code, EXIT_CODES.timedOut, stderr);
      assert.match(
        stderr,
        /its guest has not done its part within 6 s \(volumes\[1\] extra\): it is paused/,
      );
      assert.match(await vm.ok(['vm', 'describe', 'web']), /volumes\[1\] .*the guest, since/);
      await agent.kill(signal);
      await agent.launch({ source: false }, signal);
      await agent.waitReady(signal);
      assert.deepEqual(
        (await pending()).map(({ field }) => field),
        ['spec.template.spec.volumes[1]'],
      );
      await vm.ok(['vm', 'resume', 'web']);
      await seen('it has let go', async () => (await pending()).length === 0);
      assert.doesNotMatch(await listed('/sys/block'), /vdb/);
    },
  );

  await context.test('wrong words are told as such', async () => {
    for (const [args, message] of [
      [['attach-disk', 'web', 'x'], /give one of --size, --image, --file and --block/],
      [['attach-disk', 'web', 'x', '--file', '/x.img'], /--file needs --format/],
      [
        ['attach-disk', 'web', 'x', '--size', '1Gi', '--block', '/dev/x'],
        /--size is of a disk that is made/,
      ],
      [['detach-disk', 'web', 'x'], /has no volume of that name; it has: data/],
      [
        ['attach-disk', 'web', 'x', '--file', '/nowhere/x.img', '--format', 'raw'],
        /\/nowhere\/x\.img/,
      ],
    ] as const) {
      const { code, stderr } = await vm.ctl(['vm', ...args]);
      assert.notEqual(code, 0, args.join(' '));
      assert.match(stderr, message);
    }
    assert.deepEqual((await manifest()).spec.template.spec.volumes?.length, 1);
  });
});
