import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MigrationPhase } from '../../src/client/api.ts';
import { SLOW } from '../e2e/moving-vm.ts';
import { type Stage, storyteller } from '../e2e/stories.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';
import { signalProcess } from '../fixtures/process-signals.ts';

const SOME_BYTES = 1_000_000n;

test('a guest that goes off while it moves is off on one node, is said to be, and can be started at once', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a } = nodes;
  const vm = await nodes.bootVm(a, context.signal);
  const story = storyteller(context, nodes, vm);

  await story('by itself', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    await pressButton(stage);
    const message = await migration.expectFailed('VM_NOT_RUNNING', signal);
    assert.match(message, /^It was shut down while it moved; it is off, on node a\./);
    await expectOff(stage, 'GuestShutdown');
    // The destination tells the same.
    const there = await nodes.client('b').migrations.get(migration.id, { signal });
    assert.deepEqual(there.status?.message, message);
  });

  await story('as its QEMU is killed', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    signalProcess(qemuOf(stage), 'SIGKILL');
    const message = await migration.expectFailed('VM_NOT_RUNNING', signal);
    assert.match(message, /while it moved; it is off, on node a\./);
    await expectOff(stage, 'Crashed');
  });

  await story('near the end, and it is on one node in any case', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    await Promise.all([migration.unleash(signal), pressButton(stage)]);
    const { status } = await migration.end(signal);
    if (status?.phase === MigrationPhase.MIGRATION_PHASE_COMPLETED) {
      // The button may have come too late for the guest to see it here.
      assert.equal(await vm.state(a, signal), undefined);
      assert.match((await vm.state(nodes.b, signal)) ?? '', /^(running|shut off|in shutdown)$/);
      return;
    }
    assert.equal(status?.reason, 'VM_NOT_RUNNING', status?.message);
    await expectOff(stage, 'GuestShutdown');
  });
});

/** Past libvirt, which lets nobody do this while it migrates. */
async function pressButton({ nodes: { a }, vm, signal }: Stage): Promise<void> {
  await a.libvirt.virsh(['qemu-monitor-command', vm.uid, '--hmp', 'system_powerdown'], signal);
}

function qemuOf({ nodes: { a }, vm }: Stage): number {
  const found = a.processes().find(({ command }) => command.includes(vm.uid));
  assert.ok(found !== undefined);
  return found.pid;
}

/** Off here for this cause, not there, and can be started at once. */
async function expectOff({ nodes, vm, signal }: Stage, reason: string): Promise<void> {
  const { a, b } = nodes;
  assert.equal(await vm.state(a, signal), 'shut off');
  assert.equal(await vm.state(b, signal), undefined);
  const { status } = await nodes.client('a').vms.get({ name: vm.name }, { signal });
  assert.equal(status?.reason, reason, status?.message);
  await nodes.client('a').vms.start({ name: vm.name }, { signal });
  await vm.expectOnlyAt(a, await vm.epochAt(a, signal), signal);
  await nodes.expectNothingLeft(signal);
}
