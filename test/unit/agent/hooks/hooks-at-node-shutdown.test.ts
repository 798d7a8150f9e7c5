import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../../../fixtures/until.ts';
import { ask, begin } from '../runs/controlled-node.ts';
import { never, type OneNode } from '../vms/one-node.ts';
import { DRAIN, FAILURE, untilBegun, untilIdle, withHooks } from './hooked-node.ts';

const shutDown = ({ agent }: OneNode, timeoutMs: number) =>
  agent.shutdown.shutDown({ timeoutMs, dryRun: false, requestedBy: 'unix:root' }, never);

const shutdownOf = async ({ agent }: OneNode) => (await agent.node.get(never)).shutdown;

const asked = ({ hypervisor }: OneNode, uid: string): number =>
  hypervisor.calls.filter((call) => call === `shutdown ${uid}`).length;

async function withRunningVm() {
  const hooked = await withHooks();
  await ask(hooked.node, 'start', hooked.ref);
  hooked.node.hooks.begun.length = 0;
  return hooked;
}

test('before its guest is asked its hook runs, and the node says so', async () => {
  const { node, uid } = await withRunningVm();
  await using _node = node;
  const goOn = node.hooks.block(DRAIN);
  await shutDown(node, 600_000);
  await untilBegun(node, 'preStop web');
  await until('the node says so', async () => {
    return (await shutdownOf(node))?.guests[0]?.message === `Its preStop hook ${DRAIN} runs first`;
  });
  assert.equal(asked(node, uid), 0);
  goOn();
  await until('it is off', async () => (await shutdownOf(node))?.guests[0]?.state === 'off');
  assert.deepEqual(node.hooks.begun, ['preStop web']);
});

test('a hook that fails keeps nobody from being asked', async () => {
  const { node } = await withRunningVm();
  await using _node = node;
  node.hooks.setOutcome(DRAIN, FAILURE);
  await shutDown(node, 600_000);
  await until('it is off', async () => (await shutdownOf(node))?.guests[0]?.state === 'off');
});

test('a hook has half of the time, and the guest the rest', async () => {
  const { node, uid } = await withRunningVm();
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  node.hooks.block(DRAIN);
  await shutDown(node, 2_000);
  await until('it is asked', () => asked(node, uid) === 1);
  const { deadlineMs = 0 } = (await shutdownOf(node)) ?? {};
  assert.ok(deadlineMs - Date.now() > 300, 'there is time left');
  assert.deepEqual(node.hooks.ended, ['preStop web']);
  node.hypervisor.stopGuest(uid);
});

test('a shutdown that is called off ends what runs', async () => {
  const { node, uid } = await withRunningVm();
  await using _node = node;
  node.hooks.block(DRAIN);
  await shutDown(node, 600_000);
  await untilBegun(node, 'preStop web');
  await node.agent.shutdown.abort(never);
  await untilIdle(node);
  assert.deepEqual(node.hooks.ended, ['preStop web']);
  assert.equal(asked(node, uid), 0);
});

test('a guest that a caller has had asked is not asked to drain again', async () => {
  const { node, ref, uid } = await withRunningVm();
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  await begin(node, 'shutdown', ref);
  await until('it is asked', () => asked(node, uid) === 1);
  await until('that is known', async () => (await node.vms.get(ref, never)).phase === 'stopping');
  await shutDown(node, 600_000);
  await until('it is asked again', () => asked(node, uid) === 2);
  assert.deepEqual(node.hooks.begun, ['preStop web']);
  node.hypervisor.stopGuest(uid);
});
