import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { until } from '../../../fixtures/until.ts';
import { never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

async function runningNode() {
  const node = await OneNode.open();
  node.agent.run();
  const create = async (name: string) => {
    const request = newRequest(name, { runStrategy: 'Always' });
    await node.create(request);
    return { ref: refOf(request), uid: uidOf(request) };
  };
  /** Returns once the controller has brought a VM back, and with that looked at what was to be done before. */
  const seeOneBroughtBack = async (name: string) => {
    const { uid } = await create(name);
    node.hypervisor.forgetCalls();
    node.hypervisor.stopGuest(uid, 'crashed');
    await until('it is started', () => node.hypervisor.calls.includes(`start ${uid}`));
  };
  return { node, create, seeOneBroughtBack };
}

test('a VM that was moved away by hand stays off, even when libvirt has forgotten why it is', async () => {
  const { node, create, seeOneBroughtBack } = await runningNode();
  await using _node = node;
  const { ref, uid } = await create('moved');
  node.hypervisor.stopGuest(uid, 'migrated');
  const seen = async () => {
    const { reason, definition } = await node.vms.get(ref, never);
    return [reason, definition.intent];
  };
  await until('it is seen', async () => (await seen())[0] === 'Migrated');
  node.hypervisor.forgetWhyStopped();
  await seeOneBroughtBack('other');
  assert.deepEqual(await seen(), ['Migrated', 'on']);
  assert.ok(!node.hypervisor.calls.includes(`start ${uid}`));
});

test('a copy that another host owns is not started by its run strategy', async () => {
  const { node, create, seeOneBroughtBack } = await runningNode();
  await using _node = node;
  const { ref, uid } = await create('copied');
  const facts = { owner: randomUUID(), ownershipEpoch: 2 };
  await node.hypervisor.domains.setFacts(uid, facts, never);
  node.hypervisor.stopGuest(uid, 'crashed');
  await seeOneBroughtBack('other');
  const { reason, definition } = await node.vms.get(ref, never);
  assert.deepEqual([reason, definition.intent], ['StrayCopy', 'on']);
  assert.ok(!node.hypervisor.calls.includes(`start ${uid}`));
});
