import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { hasEnded } from '../../../../src/agent/operations/operation.ts';
import { parseLabelSelector } from '../../../../src/core/label-selector.ts';
import type { RunStrategy } from '../../../../src/core/resources/virtual-machine.ts';
import { rejectsWith } from '../../../contract/hypervisor-fixture.ts';
import { MIGRATION_ID } from '../../../fakes/fake-migration-service.ts';
import { until } from '../../../fixtures/until.ts';
import { EVERYTHING, never, newRequest, OneNode, refOf, uidOf, WHOLE } from './one-node.ts';

const VM_BYTES = 64 * 1024 ** 2;

interface Past {
  readonly unreadPatienceMs?: number;
  readonly runStrategy?: RunStrategy;
  /** What happens to the VM once it was made and before the agent starts anew. */
  readonly meanwhile?: (node: OneNode, uid: string) => Promise<unknown> | void;
}

/** An agent that was started anew, on a node with VMs `web` and `db` that are its own, of which `web` cannot be read. */
async function restarted({ unreadPatienceMs = 0, runStrategy = 'Once', meanwhile }: Past = {}) {
  const before = await OneNode.open();
  const { hypervisor, journal } = before;
  const web = newRequest('web', { runStrategy });
  const db = newRequest('db', { runStrategy: 'Manual' });
  for (const request of [web, db]) await before.create(request);
  await meanwhile?.(before, uidOf(web));
  await before.agent.tasks[Symbol.asyncDispose]();
  const letRead = hypervisor.keepUnread(uidOf(web));
  const node = await OneNode.open({ hypervisor, journal, unreadPatienceMs });
  hypervisor.forgetCalls();
  return { node, web, db, ref: refOf(web), uid: uidOf(web), letRead };
}

const ANY = { dryRun: false, updateMask: undefined, generation: undefined };
/** What changes something of a VM. */
const CHANGES = /^(define|setFacts|start|shutdown|destroy|suspend|resume|undefine|migrate) /;

const changesOf = ({ hypervisor }: OneNode, uid: string) =>
  hypervisor.calls.filter((call) => CHANGES.test(call) && call.includes(uid));

test('it is listed, Unknown, with what is recorded of it and nothing else', async () => {
  const { node, ref, uid } = await restarted();
  await using _node = node;
  const vm = await node.vms.get(ref, never);
  assert.deepEqual([vm.isRead, vm.phase, vm.reason], [false, 'unknown', 'NotRead']);
  assert.match(vm.message, /cannot describe it/);
  const { namespace, name, ownershipEpoch, generation } = vm.definition;
  assert.deepEqual(
    [namespace, name, vm.definition.uid, ownershipEpoch, generation],
    [ref.namespace, 'web', uid, 1, 0],
  );
  const statuses = vm.conditions.map(({ type, status, reason }) => [type, status, reason]);
  assert.deepEqual(statuses, [
    ['Ready', 'unknown', 'NotRead'],
    ['RunStrategyFulfilled', 'unknown', 'NotRead'],
    ['SpecApplied', 'unknown', 'NotRead'],
    ['LiveMigratable', 'unknown', 'NotRead'],
    ['Migrating', 'false', 'NoMigration'],
    ['Paused', 'unknown', 'NotRead'],
    ['Degraded', 'true', 'NotRead'],
  ]);
  const { items } = await node.vms.list(EVERYTHING, WHOLE, never);
  assert.deepEqual(
    items.map(({ definition, phase }) => [definition.name, phase]),
    [
      ['db', 'stopped'],
      ['web', 'unknown'],
    ],
  );
});

test('a list by labels has it, as its labels are not known; one of another namespace has not', async () => {
  const { node } = await restarted();
  await using _node = node;
  const names = async (filter: typeof EVERYTHING) =>
    (await node.vms.list(filter, WHOLE, never)).items.map(({ definition }) => definition.name);
  const labels = parseLabelSelector('app=shop');
  assert.deepEqual(await names({ namespace: '', labels }), ['web']);
  assert.deepEqual(await names({ ...EVERYTHING, namespace: 'other' }), []);
});

test('it is waited for before anything is told, but not for ever', async () => {
  const { node, ref, letRead } = await restarted({ unreadPatienceMs: 600_000 });
  await using _node = node;
  await rejectsWith('STATE_NOT_READY', node.vms.get(ref, never));
  await rejectsWith('STATE_NOT_READY', node.vms.list(EVERYTHING, WHOLE, never));
  assert.equal(node.inventory.findObstacle()?.reason, 'VmsNotListed');
  letRead();
  assert.equal((await node.vms.get(ref, never)).phase, 'running');
});

test('a watcher sees it Unknown, and read at last as a change, never as gone', async () => {
  const { node, web, letRead } = await restarted();
  await using _node = node;
  await node.inventory.refresh(never);
  const seen: string[] = [];
  node.agent.tasks.run('watch', async (signal) => {
    for await (const event of node.vms.watch(EVERYTHING, undefined, signal)) {
      if (!('object' in event)) seen.push(event.type);
      else if (event.object.definition.name === 'web') {
        seen.push(`${event.type} ${event.object.phase} ${event.object.definition.generation}`);
      }
    }
  });
  await until('the watch has begun', () => seen.includes('synced'));
  // Repeated listings change nothing.
  await node.inventory.refresh(never);
  letRead();
  await node.inventory.refresh(never);
  await until('it is read', () => seen.length > 3);
  assert.deepEqual(seen, ['reset', 'added unknown 0', 'synced', 'modified running 1']);
  const { definition, isRead } = await node.vms.get(refOf(web), never);
  assert.equal(isRead, true);
  assert.deepEqual(definition.spec, web.spec);
});

test('nothing is done to it as if it were off, and nothing concluded from a spec that nobody has read', async () => {
  const { node, web, ref, uid } = await restarted();
  await using _node = node;
  const { vms } = node;
  const sameName = { ...web, metadata: { ...web.metadata, uid: undefined } };
  const refused = [
    vms.start(ref, never),
    vms.shutdown(ref, never),
    vms.destroy(ref, never),
    vms.delete(ref, { force: false }, never),
    vms.delete(ref, { force: true }, never),
    vms.delete({ ...ref, uid }, { force: true }, never),
    vms.assertCan('start', ref, never),
    vms.assertCanDelete(ref, { force: true }, never),
    vms.apply(web, ANY, never),
    vms.apply({ ...web, spec: { ...web.spec, runStrategy: 'Manual' } }, ANY, never),
    vms.apply(web, { ...ANY, dryRun: true }, never),
    node.create(web),
    node.create(sameName),
    node.create({ ...newRequest('other'), metadata: { ...newRequest('other').metadata, uid } }),
  ];
  const error = {
    reason: 'STATE_NOT_READY',
    message: new RegExp(`_web, which it could not describe.*virsh dumpxml ${uid}`),
  };
  await Promise.all(refused.map((attempt) => assert.rejects(attempt, error)));
  assert.deepEqual(changesOf(node, uid), []);
  assert.ok(node.ownership.isOwner(uid));
});

test('it is neither planned nor begun to migrate it', async () => {
  const { node, ref, uid } = await restarted();
  await using _node = node;
  const { migrations } = node.agent;
  const spec = {
    vm: ref,
    destinationNode: 'b',
    destinationAddress: undefined,
    maxDowntimeMs: undefined,
    bandwidthBitsPerSecond: 0,
    timeoutMs: undefined,
  };
  await rejectsWith('STATE_NOT_READY', migrations.plan(spec, never));
  const request = { id: MIGRATION_ID, spec, labels: {}, requestedBy: 'tester' };
  await rejectsWith('STATE_NOT_READY', migrations.start(request, never));
  assert.equal(node.locks.purposeOf(uid), undefined);
});

test('no controller does anything to it, whatever its run strategy would be', async () => {
  for (const runStrategy of ['Always', 'Halted'] as const) {
    const { node, uid, db, letRead } = await restarted({
      runStrategy,
      // As if it were to be changed at once: one is off that shall be on, the other way round for the other.
      meanwhile: ({ hypervisor }, vmUid) =>
        runStrategy === 'Always'
          ? hypervisor.stopGuest(vmUid)
          : hypervisor.domains.start(vmUid, never),
    });
    await using _node = node;
    const record = node.ownership.find(uid);
    node.agent.run();
    // Others are seen to meanwhile.
    await node.vms.start(refOf(db), never);
    for (let look = 0; look < 5; look += 1) await node.inventory.refresh(never);
    assert.deepEqual(changesOf(node, uid), []);
    assert.deepEqual(node.ownership.find(uid), record);
    letRead();
    await until(`it is as ${runStrategy} says`, () =>
      changesOf(node, uid).some((call) =>
        call.startsWith(runStrategy === 'Always' ? 'start' : 'shutdown'),
      ),
    );
  }
});

test('an operation that the agent before has left waits until it is read', async () => {
  const id = randomUUID();
  const { node, uid, letRead } = await restarted({
    meanwhile: async ({ agent }) => {
      const vm = { namespace: 'test', name: 'web', uid: undefined };
      const asked = { id, kind: 'destroy', vm, parameters: {}, requestedBy: 'tester' } as const;
      await agent.operations.submit(asked, never);
    },
  });
  await using _node = node;
  node.agent.run();
  const { operations, reconciler } = node.agent;
  await until('it was tried', () =>
    reconciler.states().some(({ name, retries }) => name === 'operations' && retries > 0),
  );
  assert.ok(!hasEnded(await operations.get(id)));
  assert.deepEqual(changesOf(node, uid), []);
  letRead();
  await until('it has ended', async () => hasEnded(await operations.get(id)));
  assert.equal((await operations.get(id)).state, 'succeeded');
});

test('a creation that is cancelled before its VM is read takes it away once it is', async () => {
  const before = await OneNode.open();
  const { journal, hypervisor } = before;
  const manifest = newRequest('web', { runStrategy: 'Always' });
  const id = randomUUID();
  const vm = { namespace: 'test', name: 'web', uid: undefined };
  const parameters = { manifest, reservationId: undefined };
  const asked = { id, kind: 'create', vm, parameters, requestedBy: 'tester' } as const;
  await before.agent.operations.submit(asked, never);
  await before.create(manifest);
  await before.agent.tasks[Symbol.asyncDispose]();
  const letRead = hypervisor.keepUnread(uidOf(manifest));
  await using node = await OneNode.open({ hypervisor, journal, unreadPatienceMs: 0 });
  const { operations } = node.agent;
  await operations.cancel(id, never);
  node.agent.run();
  await node.inventory.refresh(never);
  assert.ok(!hasEnded(await operations.get(id)));
  letRead();
  await until('it has ended', async () => hasEnded(await operations.get(id)));
  assert.equal((await operations.get(id)).state, 'cancelled');
  assert.equal(await hypervisor.domains.find(uidOf(manifest), never), undefined);
});

test('the memory that it has counts once', async () => {
  const { node, uid, web, letRead } = await restarted();
  await using _node = node;
  await node.inventory.refresh(never);
  assert.equal(node.capacity.allocated()['memory'], VM_BYTES);
  await node.create(newRequest('two'));
  await rejectsWith('NODE_CAPACITY_EXCEEDED', node.create(newRequest('three')));
  letRead();
  await node.vms.get({ ...refOf(web), uid }, never);
  node.assertFree();
});

test('its name and uid can be reserved for no other', async () => {
  const { node, ref, uid } = await restarted();
  await using _node = node;
  await node.inventory.refresh(never);
  const machine = { resources: { cpu: '1', memory: '16Mi' } };
  for (const vm of [ref, { namespace: 'test', name: 'other', uid }]) {
    const request = { id: randomUUID(), vm, machine, ttlMs: 60_000 };
    await rejectsWith('VM_ALREADY_EXISTS', node.agent.node.reserve(request));
  }
});

test('it is not taken for unidentified', async () => {
  const { node } = await restarted();
  await using _node = node;
  await node.inventory.refresh(never);
  assert.deepEqual(node.inventory.unread.listUnidentified(), []);
  const { unidentifiedVms, conditions } = await node.agent.node.get(never);
  assert.deepEqual(unidentifiedVms, []);
  const identified = conditions.find(({ type }) => type === 'VirtualMachinesIdentified');
  assert.equal(identified?.status, 'true');
});

test('while the hypervisor is away it is unreachable as all others are', async () => {
  const { node, ref } = await restarted();
  await using _node = node;
  await node.vms.get(ref, never);
  node.hypervisor.disconnect();
  const { reason, isRead } = await node.vms.get(ref, never);
  assert.deepEqual([reason, isRead], ['HypervisorUnreachable', false]);
  node.hypervisor.reconnect();
  assert.equal((await node.vms.get(ref, never)).reason, 'NotRead');
});

test('it is gone once libvirt has it no more', async () => {
  const { node, ref, uid } = await restarted();
  await using _node = node;
  await node.vms.get(ref, never);
  await node.hypervisor.domains.destroy(uid, never);
  await node.hypervisor.domains.undefine(uid, never);
  await rejectsWith('VM_NOT_FOUND', node.vms.get(ref, never));
});

test('a VM that was just made is answered as it was made, though libvirt is slow to describe it', async () => {
  await using node = await OneNode.open();
  const web = newRequest();
  await node.inventory.refresh(never);
  const goOn = node.hypervisor.block('define');
  const making = node.create(web);
  await until('it is being made', () => changesOf(node, uidOf(web)).length > 0);
  const letRead = node.hypervisor.keepUnread(uidOf(web));
  goOn();
  const made = await making;
  assert.deepEqual([made.isRead, made.definition.spec], [true, web.spec]);
  // The first listing is over, so that it would be missed by whoever lists.
  assert.equal((await node.vms.get(refOf(web), never)).reason, 'NotRead');
  letRead();
  assert.equal((await node.vms.get(refOf(web), never)).phase, 'running');
});

test('one that has left, or was deleted, is not listed as owned', async () => {
  for (const end of ['left', 'deleted'] as const) {
    const { node, ref, uid } = await restarted({
      meanwhile: async ({ ownership }, vmUid) => {
        const vm = { ...refOf(newRequest('web')), uid: vmUid };
        if (end === 'left') await ownership.release(vm, 2, 'node-b');
        else await ownership.forget({ ...vm, ownershipEpoch: 1, owner: '' });
      },
    });
    await using _node = node;
    await rejectsWith('STATE_NOT_READY', node.vms.get(ref, never));
    const { items } = await node.vms.list(EVERYTHING, WHOLE, never);
    assert.deepEqual(
      items.map(({ definition }) => definition.name),
      ['db'],
    );
    assert.deepEqual(
      node.inventory.unread.listUnidentified().map((vm) => vm.uid),
      [uid],
    );
  }
});
