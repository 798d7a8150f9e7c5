import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestShutdown } from '../../../../src/agent/shutdown/node-shutdown.ts';
import { until } from '../../../fixtures/until.ts';
import { never, type TestNode, TwoNodes } from '../migration/two-nodes.ts';

const LONG_MS = 600_000;

const shutDown = ({ agent }: TestNode, timeoutMs: number) =>
  agent.shutdown.shutDown({ timeoutMs, dryRun: false, requestedBy: 'unix:root' }, never);

/** What the node says of its one VM, looked at anew. */
async function guestOf({ agent }: TestNode): Promise<GuestShutdown | undefined> {
  await agent.inventory.refresh(never);
  return (await agent.node.get(never)).shutdown?.guests[0];
}

const untilGuest = (node: TestNode, state: GuestShutdown['state']) =>
  until(`it is ${state}`, async () => (await guestOf(node))?.state === state);

const shutdownsOf = ({ hypervisor }: TestNode, uid: string) =>
  hypervisor.calls.filter((call) => call === `shutdown ${uid}`).length;

test('a migration that ends in the first half of the time takes the VM away', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, vm } = nodes;
  await nodes.copying();
  await shutDown(source, LONG_MS);
  await untilGuest(source, 'waiting-for-migration');
  assert.match((await guestOf(source))?.message ?? '', /on its way to node b/);
  source.hypervisor.manualProgress = false;
  source.hypervisor.advance(vm.uid);
  assert.equal((await nodes.ended()).phase, 'completed');
  await untilGuest(source, 'gone');
  assert.equal((await source.agent.node.get(never)).shutdown?.isDone, true);
  await nodes.assertRunsOn(destination);
  assert.equal(shutdownsOf(source, vm.uid), 0);
});

test('a migration that takes longer is cancelled at half of the time, and the guest asked to power off', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, vm } = nodes;
  await nodes.copying();
  source.hypervisor.slowShutdown = true;
  await shutDown(source, 2_000);
  assert.equal((await nodes.ended()).phase, 'cancelled');
  await until('the guest is asked', async () => {
    await guestOf(source);
    return shutdownsOf(source, vm.uid) === 1;
  });
  source.hypervisor.stopGuest(vm.uid);
  await untilGuest(source, 'off');
  assert.equal(await destination.find(vm.uid), undefined);
  assert.equal((await source.find(vm.uid))?.definition?.intent, 'on');
});

test('a VM in its switchover is not touched, also after the deadline', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, vm } = nodes;
  const goOn = await nodes.switchingOver();
  await shutDown(source, 1);
  await untilGuest(source, 'cutting-power');
  await until('it is said why', async () =>
    /migration to node b has not ended/.test((await guestOf(source))?.message ?? ''),
  );
  assert.ok(!source.hypervisor.calls.includes(`destroy ${vm.uid}`));
  goOn();
  assert.equal((await nodes.ended()).phase, 'completed');
  await untilGuest(source, 'gone');
  await nodes.assertRunsOn(destination);
});

test('the power of a VM whose memory is on two nodes is not cut', async () => {
  using nodes = await TwoNodes.open();
  const { source, vm } = nodes;
  source.hypervisor.switchoverEnd = 'pages-left';
  await nodes.start();
  await until('its memory is on two nodes', async () => {
    return (await source.find(vm.uid))?.stateReason === 'postcopy-failed';
  });
  await shutDown(source, 1);
  await until('it is said why', async () =>
    /memory is on two nodes/.test((await guestOf(source))?.message ?? ''),
  );
  assert.ok(!source.hypervisor.calls.includes(`destroy ${vm.uid}`));
  source.hypervisor.sendLastPages(vm.uid);
  await nodes.ended();
});

test('a VM that is arriving stays where it comes from', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, vm } = nodes;
  await nodes.copying();
  const { isDone } = await shutDown(destination, LONG_MS);
  assert.equal(isDone, false);
  const { phase } = await nodes.ended();
  assert.equal(phase, 'failed');
  await nodes.assertRunsOn(source);
  await until('nothing is left to do', async () => {
    return (await destination.agent.node.get(never)).shutdown?.isDone === true;
  });
  assert.equal(destination.record(nodes.id)?.message, 'This node is being shut down');
  assert.ok(!destination.hypervisor.calls.includes(`shutdown ${vm.uid}`));
});

test('no VM begins to move to a node that is being shut down, or from it', async () => {
  for (const which of ['source', 'destination'] as const) {
    using nodes = await TwoNodes.open();
    nodes.source.hypervisor.slowShutdown = true;
    await shutDown(nodes[which], LONG_MS);
    const { blockers } = await nodes.source.agent.migrations.plan(nodes.spec, never);
    assert.deepEqual(
      blockers.map(({ reason }) => reason),
      ['NODE_SHUTTING_DOWN'],
    );
    await assert.rejects(nodes.start(), { reason: 'NODE_SHUTTING_DOWN' });
  }
});

interface Story {
  readonly name: string;
  readonly timeoutMs: number;
  readonly ignoresButton: boolean;
  /** How its run must have ended. */
  readonly end: string;
  /** Fewer would mean that the killing does not reach into the story. */
  readonly steps: number;
}

const STORIES: readonly Story[] = [
  { name: 'obeys', timeoutMs: LONG_MS, ignoresButton: false, end: 'shutdown', steps: 4 },
  { name: 'does not listen', timeoutMs: 1, ignoresButton: true, end: 'destroyed', steps: 4 },
];

for (const { name, timeoutMs, ignoresButton, end, steps } of STORIES) {
  test(`an agent that is killed at any step has the next one go on with a guest that ${name}`, async () => {
    let step = 0;
    for (let isReached = true; isReached; ) {
      step += 1;
      using nodes = await TwoNodes.open();
      const { source, vm } = nodes;
      source.hypervisor.slowShutdown = ignoresButton;
      const { life } = source.agent;
      life.killAt(step);
      // As a caller does that was told to: asks again whenever the agent has gone.
      await until('it was recorded', async () => {
        const asked = shutDown(source, timeoutMs);
        return Promise.race([asked, source.agent.life.death]).then(
          () => true,
          () => false,
        );
      });
      const where = `killed at step ${step}, ${life.steps.at(-1)}`;
      await until(`the guest is off, ${where}`, async () => {
        const listing = source.agent.inventory.refresh(never);
        await Promise.race([listing, source.agent.life.death]).catch(() => undefined);
        return (await source.find(vm.uid))?.state === 'stopped';
      });
      const found = await source.find(vm.uid);
      assert.equal(found?.definition?.intent, 'on', where);
      assert.equal(found.stateReason, end, where);
      isReached = life.killed;
    }
    assert.ok(step > steps, `${step - 1} steps`);
  });
}
