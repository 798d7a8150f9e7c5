import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { THE_NODE } from '../../../../src/agent/operations/operation.ts';
import { OperationStore } from '../../../../src/agent/operations/operation-store.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { newRequest, OneNode } from '../vms/one-node.ts';
import { ALL, type Asked, ask, done, endOf, FIRST } from './asking-node.ts';
import { operationRecord } from './operation-record.ts';

const VM = { ...THE_NODE, uid: undefined };

const cordon = (cordonReason: string, generation?: number): Asked => ({
  kind: 'cordon',
  vm: VM,
  parameters: { spec: { cordon: true, cordonReason }, generation },
});
const UNCORDON: Asked = {
  kind: 'uncordon',
  vm: VM,
  parameters: { spec: { cordon: false, cordonReason: '' }, generation: undefined },
};

async function openNode(options: Parameters<typeof OneNode.open>[0] = {}) {
  const node = await OneNode.open(options);
  node.agent.run();
  return node;
}

test('a cordon is an operation of the node, with who asked for it and when', async () => {
  await using node = await openNode();
  const end = await done(node, cordon('new disks'));
  assert.partialDeepStrictEqual(end, {
    kind: 'cordon',
    vm: THE_NODE,
    state: 'succeeded',
    requestedBy: 'tester',
    parameters: { spec: { cordon: true, cordonReason: 'new disks' } },
  });
  assert.deepEqual(node.agent.cordon.spec, { cordon: true, cordonReason: 'new disks' });
  await done(node, UNCORDON);
  assert.equal(node.agent.cordon.spec.cordon, false);
  const { items } = await node.agent.operations.list(ALL, FIRST);
  assert.deepEqual(
    items.map(({ kind }) => kind),
    ['uncordon', 'cordon'],
  );
  // They are of no namespace.
  const ofVms = await node.agent.operations.list({ ...ALL, namespace: 'test' }, FIRST);
  assert.deepEqual(ofVms.items, []);
});

test('a cordon is done once for its id, and its id is refused for anything else', async () => {
  await using node = await openNode();
  const id = randomUUID();
  const first = await done(node, { ...cordon('new disks'), id });
  await done(node, UNCORDON);
  assert.deepEqual(await ask(node, { ...cordon('new disks'), id }), first);
  assert.equal(node.agent.cordon.spec.cordon, false);
  const reused = { reason: 'OPERATION_ID_REUSED' };
  await assert.rejects(ask(node, { ...cordon('new memory'), id }), reused);
  await assert.rejects(ask(node, { ...UNCORDON, id }), reused);
  await node.create(newRequest());
  await assert.rejects(ask(node, { kind: 'destroy', id }), reused);
  const other = await done(node, { kind: 'destroy' });
  await assert.rejects(ask(node, { ...UNCORDON, id: other.id }), {
    ...reused,
    message: /Cannot uncordon this node as operation .* \(destroy VM web\)/,
  });
});

test('a change of the node for another generation is refused, and leaves no operation', async () => {
  await using node = await openNode();
  await assert.rejects(ask(node, cordon('', 7)), { reason: 'GENERATION_MISMATCH' });
  assert.deepEqual((await node.agent.operations.list(ALL, FIRST)).items, []);
});

test('of a cordon and its end that are asked for at once the later one holds', async () => {
  await using node = await openNode();
  const asked = [];
  for (let count = 0; count < 10; count += 1) {
    asked.push(await ask(node, cordon(`${count}`)), await ask(node, UNCORDON));
  }
  const ends = [];
  for (const operation of asked) ends.push((await endOf(node, operation)).state);
  assert.equal(ends.at(-1), 'succeeded');
  assert.ok(ends.every((state) => state === 'succeeded' || state === 'superseded'));
  assert.equal(node.agent.cordon.spec.cordon, false);
});

test('a cordon that an agent was killed in is brought about by the next one, also without libvirt', async () => {
  const journal = new MemoryJournal();
  const { kind, parameters = {} } = cordon('new disks', 1);
  const record = operationRecord('o-1', { kind, vm: THE_NODE, parameters });
  await new OperationStore(journal.database).insert({
    ...record,
    state: 'running',
    step: 'cordoning',
  });
  await using node = await OneNode.open({ journal });
  node.hypervisor.fail('list', new AgentError('HYPERVISOR_UNREACHABLE', 'away'), 1_000_000);
  node.agent.run();
  assert.equal((await endOf(node, { id: 'o-1' })).state, 'succeeded');
  assert.equal(node.agent.cordon.spec.cordonReason, 'new disks');
});
