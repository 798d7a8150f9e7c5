import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Node } from '../../../../src/agent/node/node.ts';
import { Surroundings } from './surroundings.ts';
import { definitionOf, GIB, machineOf, vmOf } from './vms-of-a-node.ts';

function condition(node: Node, type: string): Node['conditions'][number] | undefined {
  return node.conditions.find((candidate) => candidate.type === type);
}

const isConnected = (node: Node) => node.hypervisorConnected;

test('before the hypervisor was reached the node is not ready and says nothing of it', async () => {
  await using surroundings = await Surroundings.open();
  const node = await surroundings.get();
  assert.equal(node.uid, '');
  assert.equal(node.hypervisor, undefined);
  assert.equal(condition(node, 'HypervisorConnected')?.status, 'unknown');
  assert.equal(condition(node, 'Ready')?.status, 'false');
  assert.equal(node.operatingSystem.prettyName, 'Fake Linux 1');
});

test('once it is reached the node is ready and knows its hypervisor', async () => {
  await using surroundings = await Surroundings.open();
  const node = await surroundings.until(isConnected);
  assert.equal(node.uid, surroundings.hypervisor.hostUuid);
  assert.equal(condition(node, 'Ready')?.status, 'true');
  assert.equal(node.accelerator, 'tcg');
});

test('a lost hypervisor is told, with the time, and what was read before is kept', async () => {
  await using surroundings = await Surroundings.open();
  const before = await surroundings.until(isConnected);
  surroundings.nowMs = 5_000;
  surroundings.hypervisor.disconnect();
  const lost = await surroundings.until((node) => !isConnected(node));
  assert.deepEqual(lost.hypervisor, before.hypervisor);
  assert.equal(condition(lost, 'HypervisorConnected')?.status, 'false');
  assert.equal(condition(lost, 'HypervisorConnected')?.lastTransitionAtMs, 5_000);
  assert.equal(condition(lost, 'StorageHealthy')?.lastTransitionAtMs, 1_000);
  assert.notEqual(condition(lost, 'Ready')?.message, '');
  assert.ok(lost.origin.revision > before.origin.revision);
  surroundings.hypervisor.reconnect();
  await surroundings.until(isConnected);
});

test('it is not ready until the VMs were listed', async () => {
  await using surroundings = await Surroundings.open();
  surroundings.vms = undefined;
  const node = await surroundings.until(isConnected);
  assert.equal(condition(node, 'Ready')?.reason, 'VmsNotListed');
});

test('it says what it has, what VMs may have, and what they have been given', async () => {
  await using surroundings = await Surroundings.open();
  const definition = definitionOf(machineOf('1Gi'));
  surroundings.vms = [vmOf(definition, 'running'), vmOf(definitionOf(machineOf('1Gi')), 'stopped')];
  const node = await surroundings.get();
  assert.equal(node.runningVms, 1);
  assert.deepEqual(node.capacity, { cpu: 4_000, memory: 16 * GIB });
  assert.deepEqual(node.allocatable, { cpu: 4_000, memory: 15 * GIB });
  assert.deepEqual(node.allocated, surroundings.ledger.allocated());
  assert.equal(node.allocated['cpu'], 1_000);
});

test('a full disk makes it not ready, a replaced journal only unhealthy', async () => {
  await using surroundings = await Surroundings.open();
  await surroundings.until(isConnected);
  surroundings.storage = { reason: 'JournalReplaced', message: 'It was damaged' };
  const replaced = await surroundings.get();
  assert.equal(condition(replaced, 'Ready')?.status, 'true');
  assert.equal(condition(replaced, 'StorageHealthy')?.status, 'false');
  surroundings.storage = { reason: 'WriteFailed', message: 'The disk is full' };
  const full = await surroundings.get();
  assert.equal(condition(full, 'Ready')?.message, 'The disk is full');
});

const TIMES = { expiresAtMs: 0, lifetimeMs: 0 };

test('a certificate that others refuse is told, and keeps nobody on the node from using it', async () => {
  await using surroundings = await Surroundings.open();
  await surroundings.until(isConnected);
  assert.equal(condition(await surroundings.get(), 'CertificateValid')?.reason, 'NotNeeded');
  surroundings.certificate = { reason: 'ExpiresSoon', message: 'In 3 days', ...TIMES };
  const soon = condition(await surroundings.get(), 'CertificateValid');
  assert.deepEqual([soon?.status, soon?.message], ['true', 'In 3 days']);
  surroundings.certificate = { reason: 'Refused', message: 'It expired', ...TIMES };
  const refused = await surroundings.get();
  assert.equal(condition(refused, 'CertificateValid')?.status, 'false');
  assert.equal(condition(refused, 'CertificateValid')?.message, 'It expired');
  assert.equal(condition(refused, 'Ready')?.status, 'true');
});

test('a cordon is told, and every condition says which generation it speaks of', async () => {
  await using surroundings = await Surroundings.open();
  const before = await surroundings.get();
  assert.equal(condition(before, 'Schedulable')?.status, 'true');
  surroundings.nowMs = 5_000;
  await surroundings.cordon.update({ cordon: true, cordonReason: 'new disks' }, 1);
  const node = await surroundings.get();
  assert.deepEqual(node.spec, { cordon: true, cordonReason: 'new disks' });
  assert.equal(node.generation, 2);
  assert.deepEqual(condition(node, 'Schedulable'), {
    type: 'Schedulable',
    status: 'false',
    reason: 'Cordoned',
    message: 'new disks',
    lastTransitionAtMs: 5_000,
    observedGeneration: 2,
  });
  assert.ok(node.conditions.every(({ observedGeneration }) => observedGeneration === 2));
});

const guest = (name: string, state: 'off' | 'waiting-for-guest') =>
  ({ vm: { namespace: 'default', name, uid: name }, state, message: '' }) as const;

test('while the host is about to go down the node says so, and how far it is', async () => {
  await using surroundings = await Surroundings.open();
  assert.equal(condition(await surroundings.get(), 'ShuttingDown'), undefined);
  const shutdown = {
    requestedBy: 'unix:root',
    startedAtMs: 0,
    deadlineMs: 120_000,
    isDone: false,
    guests: [guest('a', 'off'), guest('b', 'waiting-for-guest')],
  };
  surroundings.shutdown = shutdown;
  const node = await surroundings.get();
  assert.deepEqual(node.shutdown, shutdown);
  const told = condition(node, 'ShuttingDown');
  assert.deepEqual([told?.status, told?.reason], ['true', 'WaitingForGuests']);
  assert.match(told?.message ?? '', /^1 of the 2 VMs.* cut at 1970-01-01T00:02:00Z$/);
  assert.equal(condition(node, 'Schedulable')?.reason, 'ShuttingDown');
  surroundings.shutdown = { ...shutdown, isDone: true };
  assert.equal(condition(await surroundings.get(), 'ShuttingDown')?.reason, 'Done');
});

test('a watch begins with the node as it is and tells of a cordon', async () => {
  await using surroundings = await Surroundings.open();
  await surroundings.until(isConnected);
  const told: string[] = [];
  for await (const event of surroundings.manager.watch(undefined, surroundings.signal)) {
    const isCordoned = 'object' in event && event.object.spec.cordon;
    told.push(isCordoned ? `${event.type} cordoned` : event.type);
    if (event.type === 'synced') {
      await surroundings.cordon.update({ cordon: true }, undefined);
      surroundings.manager.review();
    }
    if (isCordoned) break;
  }
  assert.deepEqual(told, ['reset', 'added', 'synced', 'modified cordoned']);
});

test('nothing is told while nothing changes', async () => {
  await using surroundings = await Surroundings.open();
  const { origin } = await surroundings.until(isConnected);
  surroundings.nowMs = 9_000;
  for (let count = 0; count < 3; count++) surroundings.manager.review();
  assert.deepEqual((await surroundings.get()).origin, origin);
});

test('a watch ends with the reason of its signal', async () => {
  await using surroundings = await Surroundings.open();
  const stop = new AbortController();
  const watching = (async () => {
    for await (const event of surroundings.manager.watch(undefined, stop.signal)) {
      if (event.type === 'synced') stop.abort(new Error('enough'));
    }
  })();
  await assert.rejects(watching, { message: 'enough' });
});

test('what controllers have left to do is told when asked, and to watchers only with other changes', async () => {
  await using surroundings = await Surroundings.open();
  const connected = await surroundings.until(({ hypervisorConnected }) => hypervisorConnected);
  const busy = {
    name: 'run-strategies',
    depth: 1,
    waiting: 0,
    oldestAgeMs: 5,
    failing: 0,
    retries: 0,
    lastError: '',
  };
  surroundings.controllers = [busy];
  const node = await surroundings.get();
  assert.deepEqual(node.controllers, [busy]);
  assert.equal(node.origin.revision, connected.origin.revision);
  await surroundings.cordon.update({ cordon: true }, undefined);
  const { origin, controllers } = await surroundings.get();
  assert.deepEqual(controllers, [busy]);
  assert.ok(origin.revision > connected.origin.revision);
});

test('memory that others have taken is told, and more than there is is a fault of the node', async () => {
  await using surroundings = await Surroundings.open();
  const memory = async () => condition(await surroundings.get(), 'MemoryAvailable');
  assert.equal((await memory())?.reason, 'Available');
  const theirs = { uid: 'u-1', hypervisorName: 'theirs', vcpus: 1, hugepages: undefined };
  surroundings.foreign = [{ ...theirs, memoryBytes: 10 * GIB }];
  const shared = await memory();
  assert.deepEqual([shared?.status, shared?.reason], ['true', 'SharedWithOthers']);
  assert.match(
    shared?.message ?? '',
    /^VMs that no agent has made have 10\S*i of .*theirs \(u-1\)$/,
  );
  surroundings.foreign = [{ ...theirs, memoryBytes: 20 * GIB }];
  const over = await memory();
  assert.deepEqual([over?.status, over?.reason], ['false', 'Overcommitted']);
  assert.match(over?.message ?? '', /theirs \(u-1\).*stop some or move them away/);
  surroundings.vms = undefined;
  assert.equal((await memory())?.status, 'unknown');
});
