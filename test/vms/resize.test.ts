import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { Lab } from '../../lab/lab.ts';
import { EXIT_CODES } from '../../src/cli/process/exit-codes.ts';
import { GuestVm } from '../e2e/guest-vm.ts';

/* What a user of novactl gives a VM that runs, whose guest uses nothing of that unless it is told to. */

const PATIENCE_MS = 60_000;

interface Status {
  given?: { cpus: number; cpusOnline?: number; memory: string; memoryActual: string };
  pendingChanges?: { field: string; waitsFor: string; message?: string }[];
}

test('CPUs and memory of a VM that runs', async (context) => {
  const { signal } = context;
  await using lab = await Lab.create({ nodes: ['a'] }, signal);
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  const vm = await GuestVm.boot(lab, { name: 'web' }, signal);
  const edit = async (change: (spec: Record<string, object>) => void) => {
    const { status: _status, ...wanted } = JSON.parse(
      await vm.ok(['vm', 'get', 'web', '-o', 'json']),
    ) as { spec: { template: { spec: Record<string, object> } }; status: object };
    change(wanted.spec.template.spec);
    return await vm.ok(['vm', 'apply', '-f', '-'], JSON.stringify(wanted));
  };
  const status = async () =>
    (JSON.parse(await vm.ok(['vm', 'get', 'web', '-o', 'json'])) as { status: Status }).status;
  const isDone = async () => ((await status()).pendingChanges ?? []).length === 0;
  const inGuest = async (text: string) => (await vm.exec('sh', '-c', text)).stdout;

  await context.test(
    'more than it was started with waits for its next start, and says why',
    async () => {
      const { code, stdout, stderr } = await vm.ctl([
        'vm',
        'resize',
        'web',
        '--cpus',
        '2',
        '--memory',
        '1Gi',
        '--dry-run',
      ]);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /resources\.cpu: 1 -> 2 \(at the next start\)/);
      assert.match(
        stderr,
        /resources\.cpu is in force at the next start: it was started with 1 at most; with cpu\.max/,
      );
      assert.match(stderr, /resources\.memory is in force at the next start: it was started with/);
    },
  );

  await context.test('what its guest does not use is not done, and is told of', async () => {
    await edit((spec) => {
      spec['resources'] = { ...spec['resources'], cpu: '1', memory: '256Mi' };
      spec['cpu'] = { max: 2 };
      spec['memory'] = { max: '512Mi' };
      const kernel = spec['kernel'] as { commandLine: string };
      kernel.commandLine += ' memhp_default_state=offline';
    });
    await vm.ok(['vm', 'restart', 'web', '--force']);
    await vm.untilConnected();
    const resize = ['vm', 'resize', 'web', '--cpus', '2', '--memory', '384Mi'];
    assert.match(
      await vm.ok([...resize, '--dry-run']),
      /cpu: 1 -> 2 \(while it runs\)\n.*memory: 256Mi -> 384Mi \(while it runs\)/,
    );
    const late = await vm.ctl([...resize, '--timeout', '15s']);
    assert.notEqual(late.code, EXIT_CODES.ok, late.stdout);
    assert.match(late.stderr, /2 CPUs, 1 online/);
    assert.match(late.stderr, /384Mi, of which 128Mi is offline/);
    const { given, pendingChanges = [] } = await status();
    assert.deepEqual([given?.cpus, given?.cpusOnline, given?.memory], [2, 1, '384Mi']);
    assert.ok(
      pendingChanges.length === 2 && pendingChanges.every(({ waitsFor }) => waitsFor === 'guest'),
    );
    assert.match(await vm.ok(['vm', 'describe', 'web']), /2 given, 1 online/);
  });

  await context.test('it is done once the guest uses it', async () => {
    await inGuest(
      'echo 1 > /sys/devices/system/cpu/cpu1/online; for block in /sys/devices/system/memory/memory*; do read state < $block/state; if [ $state = offline ]; then echo online_movable > $block/state; fi; done',
    );
    await waitUntil('it is done', PATIENCE_MS, isDone, signal);
    assert.match(await vm.ok(['vm', 'resize', 'web', '--memory', '224Mi']), /web changed/);
    assert.deepEqual(await isDone(), true);
  });

  await context.test('more than the node has is refused by its field', async () => {
    const wanted = await vm.ctl(['vm', 'resize', 'web', '--memory', '900Gi']);
    assert.notEqual(wanted.code, EXIT_CODES.ok);
  });
});
