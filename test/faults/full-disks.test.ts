import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SLOW } from '../e2e/moving-vm.ts';
import { type Stage, storyteller } from '../e2e/stories.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';

const SOME_BYTES = 1_000_000n;

test('on full disks nothing begins, and what has begun ends', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, context.signal);
  const story = storyteller(context, nodes, vm);

  await story("a full disk at a's journal refuses a migration and nothing else", async (stage) => {
    const { signal, epoch } = stage;
    const state = `${a.plan.directory}/state`;
    await a.agent.stop(signal);
    await a.run(['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', state], signal);
    await nodes.relaunch(a, signal);
    await a.tryRun(['sh', '-c', `cat /dev/zero >${state}/fill`], signal);
    await assert.rejects(vm.migrateOnceFree(a, signal), { reason: 'STORAGE_FULL' });
    await vm.expectOnlyAt(a, epoch, signal);
    const { status, body } = await a.agent.httpGet('/readyz', signal);
    assert.equal(status, 503);
    assert.match(body, /journal/);
    await stage.seen.expectStayed(a, signal);
    await nodes.expectNothingLeft(signal);

    await a.run(['rm', `${state}/fill`], signal);
    const migration = await vm.migrate(a, signal);
    await migration.expectCompleted(signal);
    await expectMoved(stage);
    await a.agent.waitReady(signal);
    await a.agent.stop(signal);
    await a.run(['umount', state], signal);
  });

  await story('agents killed and started again on full disks end a migration', async (stage) => {
    const { signal } = stage;
    await using undo = new AsyncDisposableStack();
    const disks = [a, b].map((node) => ({ node, state: `${node.plan.directory}/state` }));
    for (const { node, state } of disks) {
      await node.agent.stop(signal);
      await node.run(['mount', '-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', state], signal);
      undo.defer(async () => {
        await node.agent.stop(signal);
        await node.run(['umount', state], signal);
      });
      await nodes.relaunch(node, signal);
    }
    const migration = await vm.migrateOnceFree(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    for (const { node, state } of disks) {
      await node.agent.kill(signal);
      await node.tryRun(['sh', '-c', `cat /dev/zero >${state}/fill`], signal);
      await node.agent.launch({ source: false }, signal);
    }
    await migration.unleash(signal);
    await migration.expectCompleted(signal);
    await expectMoved(stage);
    // It has ended for good, and there was no room all along.
    await a.agent.kill(signal);
    await a.agent.launch({ source: false }, signal);
    await migration.expectCompleted(signal);
    for (const { node } of disks) {
      assert.match((await node.agent.httpGet('/readyz', signal)).body, /is full/);
    }
  });
});

async function expectMoved({ nodes, vm, seen, epoch, signal }: Stage): Promise<void> {
  await seen.expectArrived(nodes.b, signal);
  await vm.expectOnlyAt(nodes.b, epoch + 1n, signal);
}
