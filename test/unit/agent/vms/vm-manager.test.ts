import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { RunStrategy } from '../../../../src/core/resources/virtual-machine.ts';
import { FakeHypervisor, fakeMigration } from '../../../fakes/fake-hypervisor.ts';
import { EVERYTHING, never, newRequest, OneNode, refOf, uidOf, WHOLE } from './one-node.ts';

async function withVm(runStrategy: RunStrategy = 'Once') {
  const node = await OneNode.open();
  const request = newRequest('web', { runStrategy });
  await node.create(request);
  return { node, request, ref: refOf(request), uid: uidOf(request) };
}

test('starting, shutting down and cutting off repeat without harm', async () => {
  const { node, ref } = await withVm();
  await using _node = node;
  const intents: string[] = [];
  for (const method of ['shutdown', 'shutdown', 'start', 'start', 'destroy', 'destroy'] as const) {
    const vm = await node.vms[method](ref, never);
    assert.equal(vm.phase, method === 'start' ? 'running' : 'stopped', method);
    assert.equal(vm.definition.generation, 1);
    intents.push(vm.definition.intent);
  }
  assert.deepEqual(intents, ['off', 'off', 'on', 'on', 'off', 'off']);
});

test('between the answers to those who have waited for one listing others get their turn', async () => {
  const { node } = await withVm();
  await using _node = node;
  const answered: number[] = [];
  const lists = Array.from({ length: 100 }, async (_, number) => {
    await node.vms.list(EVERYTHING, WHOLE, never);
    answered.push(number);
  });
  while (answered.length === 0) await new Promise(setImmediate);
  assert.ok(answered.length < lists.length, 'All were answered in one turn');
  await Promise.all(lists);
});

test('a running VM is deleted by force only, and deleting repeats', async () => {
  const { node, ref, request } = await withVm();
  await using _node = node;
  await assert.rejects(node.vms.delete(ref, { force: false }, never), { reason: 'VM_RUNNING' });
  await node.vms.delete(ref, { force: true }, never);
  await node.vms.delete(ref, { force: false }, never);
  await node.assertNothingOf(request);
});

test('a VM whose memory is saved is deleted by force only, and what would be lost is said', async () => {
  const { node, ref, uid, request } = await withVm('Manual');
  await using _node = node;
  await node.vms.start(ref, never);
  node.hypervisor.stopGuest(uid, 'saved');
  assert.equal((await node.vms.get(ref, never)).reason, 'Saved');
  const refusal = {
    reason: 'VM_RUNNING',
    message:
      /memory is saved .*would be lost; start it with novactl vm start test\/web, .*or force/,
  };
  const gently = { force: false };
  await assert.rejects(node.vms.assertCanDelete(ref, gently, never), refusal);
  await assert.rejects(node.vms.delete(ref, gently, never), refusal);
  assert.notEqual(await node.hypervisor.domains.find(uid, never), undefined);
  assert.equal(await node.vms.delete(ref, { force: true }, never), 'deleted');
  await node.assertNothingOf(request);
});

test('a VM of another uid than was meant is not touched', async () => {
  const { node, ref, uid } = await withVm();
  await using _node = node;
  const wrong = { ...ref, uid: randomUUID() };
  const mismatch = { reason: 'VM_UID_MISMATCH' };
  await assert.rejects(node.vms.get(wrong, never), mismatch);
  await assert.rejects(node.vms.destroy(wrong, never), mismatch);
  await assert.rejects(node.vms.delete(wrong, { force: true }, never), mismatch);
  assert.equal((await node.vms.get({ ...ref, uid }, never)).phase, 'running');
});

test('a VM that something else is being done to is busy', async () => {
  const { node, ref, uid } = await withVm();
  await using _node = node;
  using _lock = node.locks.tryAcquire(uid, 'migration 7');
  for (const method of ['start', 'shutdown', 'destroy'] as const) {
    await assert.rejects(node.vms[method](ref, never), {
      reason: 'VM_BUSY',
      message: /migration 7/,
    });
  }
  await assert.rejects(node.vms.delete(ref, { force: true }, never), { reason: 'VM_BUSY' });
  assert.equal((await node.vms.get(ref, never)).phase, 'running');
});

test('a copy of a VM that has moved elsewhere is not started, says so and can be deleted as such', async () => {
  const { node, ref, uid } = await withVm('Manual');
  await using _node = node;
  await node.ownership.release({ uid, namespace: ref.namespace, name: ref.name }, 2, 'b');
  const { phase, reason } = await node.vms.get(ref, never);
  assert.deepEqual([phase, reason], ['failed', 'StaleCopy']);
  await assert.rejects(node.vms.start(ref, never), { reason: 'VM_NOT_OWNED' });
  const unownedCopy = { force: false, unownedCopy: true };
  assert.equal(await node.vms.delete(ref, unownedCopy, never), 'deleted');
  assert.equal((await node.findOwner(uid))?.left?.toNode, 'b');
});

test('a VM with a file that the node may not give it any more is not started, beforehand and at the deed, and stays as it is', async () => {
  await using node = await OneNode.open();
  const problem = { reason: 'IMAGE_NOT_ALLOWED', text: 'it is outside' } as const;
  const request = newRequest('web', { runStrategy: 'Manual' });
  const before = await node.create(request);
  node.images.add('/boot/vmlinuz', { problem });
  const refusal = {
    reason: 'IMAGE_NOT_ALLOWED',
    message: /^Cannot start VM web: .*kernel\.path is \/boot\/vmlinuz, which .*it is outside/,
  };
  await assert.rejects(node.vms.assertCan('start', refOf(request), never), refusal);
  await assert.rejects(node.vms.start(refOf(request), never), refusal);
  const { phase, reason, definition } = await node.vms.get(refOf(request), never);
  assert.deepEqual(
    { phase, reason, definition },
    { phase: before.phase, reason: before.reason, definition: before.definition },
  );
  assert.ok(!node.hypervisor.calls.some((call) => call.startsWith('start')));
  node.images.add('/boot/vmlinuz');
  assert.equal((await node.vms.start(refOf(request), never)).phase, 'running');
  // Of one that runs nothing is to be said.
  node.images.add('/boot/vmlinuz', { problem });
  assert.equal((await node.vms.start(refOf(request), never)).phase, 'running');
});

test('a VM whose memory is on two nodes is destroyed on neither, by force neither', async () => {
  const { node, ref, uid } = await withVm('Manual');
  await using _node = node;
  await node.vms.start(ref, never);
  const { hypervisor } = node;
  const destination = new FakeHypervisor();
  FakeHypervisor.connect(hypervisor, destination);
  hypervisor.switchoverEnd = 'pages-left';
  const request = fakeMigration(destination, { ownershipEpoch: 2 });
  await assert.rejects(hypervisor.jobs.migrate(uid, request, never));
  const refused = { reason: 'MIGRATION_PAST_SWITCHOVER', message: /mend the link/ };
  await assert.rejects(node.vms.destroy(ref, never), refused);
  await assert.rejects(node.vms.delete(ref, { force: true }, never), refused);
  const { phase, reason, definition } = await node.vms.get(ref, never);
  assert.deepEqual([phase, reason, definition.intent], ['paused', 'PostCopyFailed', 'on']);
});

test('while the hypervisor is away all VMs are listed, as unknown, and none can be changed', async () => {
  const { node, ref } = await withVm();
  await using _node = node;
  await node.create(newRequest('off', { runStrategy: 'Manual' }));
  node.hypervisor.disconnect();
  const { items } = await node.vms.list(EVERYTHING, WHOLE, never);
  assert.deepEqual(
    items.map(({ definition, phase, statistics }) => [definition.name, phase, statistics]),
    [
      ['off', 'unknown', undefined],
      ['web', 'unknown', undefined],
    ],
  );
  await assert.rejects(node.vms.destroy(ref, never), { reason: 'HYPERVISOR_UNREACHABLE' });
  node.hypervisor.reconnect();
  assert.equal((await node.vms.get(ref, never)).phase, 'running');
});

test('nothing is said before the hypervisor was listed once', async () => {
  await using node = await OneNode.open();
  node.hypervisor.disconnect();
  await assert.rejects(node.vms.list(EVERYTHING, WHOLE, never), {
    reason: 'HYPERVISOR_UNREACHABLE',
  });
  assert.throws(() => node.inventory.list(EVERYTHING), { reason: 'STATE_NOT_READY' });
  const first = node.vms.watch(EVERYTHING, undefined, never)[Symbol.asyncIterator]().next();
  await assert.rejects(first, { reason: 'STATE_NOT_READY' });
});

test('VMs are unknown while the hypervisor has been away since the agent started, and not absent', async () => {
  const { node } = await withVm();
  const { hypervisor, journal } = await node.leave();
  hypervisor.disconnect();
  await using next = await OneNode.open({ hypervisor, journal });
  const { items } = await next.vms.list(EVERYTHING, WHOLE, never);
  const told = items.map(({ definition, phase, reason }) => [definition.name, phase, reason]);
  assert.deepEqual(told, [['web', 'unknown', 'HypervisorUnreachable']]);
  const vm = await next.vms.get({ namespace: 'test', name: 'web', uid: undefined }, never);
  assert.equal(vm.phase, 'unknown');
  const start = next.vms.start({ namespace: 'test', name: 'web', uid: undefined }, never);
  await assert.rejects(start, {
    reason: 'HYPERVISOR_UNREACHABLE',
    message: /^Cannot start VM test\/web: /,
  });
  hypervisor.reconnect();
  const { items: seen } = await next.vms.list(EVERYTHING, WHOLE, never);
  assert.deepEqual(
    seen.map(({ phase }) => phase),
    ['running'],
  );
});

test('a caller who gives up does not wait for a hypervisor that hangs', async () => {
  const { node } = await withVm();
  await using _node = node;
  const goOn = node.hypervisor.block('list');
  const stop = new AbortController();
  const listing = node.vms.list(EVERYTHING, WHOLE, stop.signal);
  setImmediate(() => stop.abort(new Error('enough')));
  await assert.rejects(listing, { message: 'enough' });
  goOn();
});

test('the console of a VM is read from its file', async () => {
  const { node, ref, uid } = await withVm();
  await using _node = node;
  const pieces: string[] = [];
  const options = { tailBytes: 0, follow: false };
  for await (const piece of node.vms.readConsole(ref, options, never)) {
    pieces.push(Buffer.from(piece).toString());
  }
  assert.deepEqual(pieces, [`/var/log/fake/${uid}.log`]);
});
