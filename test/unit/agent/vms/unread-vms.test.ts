import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import type { VmDefinition } from '../../../../src/core/vm-definition.ts';
import { rejectsWith } from '../../../contract/hypervisor-fixture.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { EVERYTHING, never, newRequest, OneNode, refOf, uidOf, WHOLE } from './one-node.ts';

/** An agent that has just started, on a node with two VMs that it has made neither of, of which the first cannot be read. */
async function openWithStuck(unreadPatienceMs = 0) {
  const node = await OneNode.open({ unreadPatienceMs });
  const stuck = tinyVm({ name: 'stuck' });
  const well = tinyVm({ name: 'well' });
  for (const vm of [stuck, well]) await node.hypervisor.domains.define(vm, never);
  await node.hypervisor.domains.start(stuck.uid, never);
  const letRead = node.hypervisor.keepUnread(stuck.uid);
  return { node, stuck, well, letRead };
}

function nameOf({ namespace, name }: VmDefinition) {
  return { namespace, name, uid: undefined };
}

function requestOf({ namespace, name }: VmDefinition): WantedVm {
  const { metadata, spec } = newRequest(name);
  return { metadata: { ...metadata, namespace }, spec };
}

async function namesOf(node: OneNode): Promise<readonly string[]> {
  const { items } = await node.vms.list(EVERYTHING, WHOLE, never);
  return items.map(({ definition }) => definition.name);
}

test('a VM that cannot be read is never said to be absent, by its name or by its uid', async () => {
  const { node, stuck } = await openWithStuck();
  await using _ = node;
  for (const ref of [nameOf(stuck), { ...nameOf(stuck), name: 'other', uid: stuck.uid }]) {
    await rejectsWith('STATE_NOT_READY', node.vms.get(ref, never));
    await rejectsWith('STATE_NOT_READY', node.vms.start(ref, never));
    await rejectsWith('STATE_NOT_READY', node.vms.delete(ref, { force: true }, never));
  }
  assert.equal((await node.hypervisor.domains.list(never)).length, 2);
});

test('neither its name nor its uid can be given to another VM', async () => {
  const { node, stuck } = await openWithStuck();
  await using _ = node;
  const namesake = requestOf(stuck);
  const other = newRequest('other');
  const twin = { ...other, metadata: { ...other.metadata, uid: stuck.uid } };
  const options = { dryRun: false, updateMask: undefined, generation: undefined };
  for (const request of [namesake, twin]) {
    await rejectsWith('STATE_NOT_READY', node.create(request));
    await rejectsWith('STATE_NOT_READY', node.vms.apply(request, options, never));
  }
  assert.equal((await node.hypervisor.domains.list(never)).length, 2);
});

test('it keeps nobody from working with the other VMs', async () => {
  const { node, well } = await openWithStuck();
  await using _ = node;
  assert.deepEqual(await namesOf(node), ['well']);
  await node.vms.start(nameOf(well), never);
  assert.equal((await node.vms.get(nameOf(well), never)).phase, 'running');
  await rejectsWith('VM_NOT_FOUND', node.vms.get(refOf(newRequest('nobody')), never));
});

test('nothing is told of any VM until all are read, unless that takes too long', async () => {
  const { node, well, letRead } = await openWithStuck(600_000);
  await using _ = node;
  await rejectsWith('STATE_NOT_READY', namesOf(node));
  await rejectsWith('STATE_NOT_READY', node.vms.start(nameOf(well), never));
  await rejectsWith('STATE_NOT_READY', node.create(newRequest()));
  assert.equal(node.inventory.listedOnce, false);
  letRead();
  assert.deepEqual(await namesOf(node), ['stuck', 'well']);
});

test('it is added as soon as it is read', async () => {
  const { node, stuck, letRead } = await openWithStuck();
  await using _ = node;
  await node.inventory.refresh(never);
  const seen: string[] = [];
  node.agent.tasks.run('watch', async (signal) => {
    for await (const event of node.vms.watch(EVERYTHING, undefined, signal)) {
      seen.push('object' in event ? `${event.type} ${event.object.definition.name}` : event.type);
    }
  });
  await until('the watch has begun', () => seen.includes('synced'));
  letRead();
  await node.inventory.refresh(never);
  await until('it is added', () => seen.length > 3);
  assert.deepEqual(seen, ['reset', 'added well', 'synced', 'added stuck']);
  assert.equal((await node.vms.get(nameOf(stuck), never)).phase, 'running');
  assert.deepEqual(node.inventory.unread.list(), []);
});

test('one that was known stays as it was known, its state unknown', async () => {
  await using node = await OneNode.open();
  const web = newRequest();
  const { definition } = await node.create(web);
  const letRead = node.hypervisor.keepUnread(uidOf(web));
  const unread = await node.vms.get(refOf(web), never);
  assert.deepEqual([unread.phase, unread.reason], ['unknown', 'NotRead']);
  assert.deepEqual(unread.definition, definition);
  assert.deepEqual(await namesOf(node), ['web']);
  await rejectsWith('VM_RUNNING', node.vms.delete(refOf(web), { force: false }, never));
  letRead();
  assert.equal((await node.vms.get(refOf(web), never)).phase, 'running');
});

test('the memory that it has is not free', async () => {
  const { node, stuck, letRead } = await openWithStuck();
  await using _ = node;
  await node.inventory.refresh(never);
  assert.equal(node.capacity.allocated()['memory'], 64 * 1024 ** 2);
  await node.create(newRequest('web'));
  await rejectsWith('NODE_CAPACITY_EXCEEDED', node.create(newRequest('db')));
  letRead();
  await node.vms.get(nameOf(stuck), never);
  node.assertFree();
});

test('the node is ready, counts it as unidentified and says what to do, until it is read', async () => {
  const { node, stuck, letRead } = await openWithStuck();
  await using _ = node;
  node.agent.tasks.run('node', (signal) => node.agent.node.run(signal));
  const condition = async (wanted: string) =>
    (await node.agent.node.get(never)).conditions.find(({ type }) => type === wanted);
  assert.equal((await condition('VirtualMachinesIdentified'))?.status, 'unknown');
  assert.equal(node.agent.countUnidentified(), undefined);
  await node.inventory.refresh(never);
  await until('it is ready', async () => (await condition('Ready'))?.status === 'true');
  assert.equal((await condition('Ready'))?.reason, 'VmsNotRead');
  assert.match((await condition('Ready'))?.message ?? '', /1 of its VMs.*_stuck/);
  const identified = await condition('VirtualMachinesIdentified');
  assert.deepEqual([identified?.status, identified?.reason], ['false', 'VmsNotRead']);
  assert.match(
    identified?.message ?? '',
    new RegExp(`1 VMs.*_stuck \\(${stuck.uid}\\).*virsh dumpxml`),
  );
  assert.deepEqual(
    (await node.agent.node.get(never)).unidentifiedVms.map(({ uid }) => uid),
    [stuck.uid],
  );
  assert.equal(node.agent.countUnidentified(), 1);
  letRead();
  await node.inventory.refresh(never);
  assert.equal((await condition('Ready'))?.reason, 'Ready');
  assert.equal((await condition('VirtualMachinesIdentified'))?.status, 'true');
  assert.deepEqual((await node.agent.node.get(never)).unidentifiedVms, []);
  assert.equal(node.agent.countUnidentified(), 0);
});

test('each is waited for before it is called unidentified, also one that comes later', async () => {
  const { node, stuck, letRead } = await openWithStuck(600_000);
  await using _ = node;
  await node.inventory.refresh(never);
  assert.deepEqual(node.inventory.unread.listUnidentified(), []);
  letRead();
  await node.inventory.refresh(never);
  assert.ok(node.inventory.listedOnce);
  const later = tinyVm({ name: 'later' });
  node.hypervisor.keepUnread(later.uid);
  await node.hypervisor.domains.define(later, never);
  await node.inventory.refresh(never);
  assert.deepEqual(node.inventory.unread.listUnidentified(), []);
  assert.equal((await node.vms.get(nameOf(stuck), never)).phase, 'running');
  await rejectsWith('STATE_NOT_READY', node.vms.get(nameOf(later), never));
});

test('its private files are not taken for those of a VM that is gone', async () => {
  const { node, stuck } = await openWithStuck();
  await using _ = node;
  const gone = uidOf(newRequest());
  for (const uid of [stuck.uid, gone]) {
    await node.privateFiles.put(uid, 'user-data', new TextEncoder().encode('secret'), never);
  }
  node.agent.run();
  await until('the other is removed', async () => {
    return !(await node.privateFiles.listVms(never)).includes(gone);
  });
  assert.deepEqual(await node.privateFiles.listVms(never), [stuck.uid]);
});
