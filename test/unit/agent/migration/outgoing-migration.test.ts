import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { Migration } from '../../../../src/agent/migration/migration.ts';
import type { MigrationPhase } from '../../../../src/agent/migration/states.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { EVERYTHING } from '../../../../src/core/label-selector.ts';
import {
  memoryBytesOf,
  nodeMemoryBytesOf,
} from '../../../../src/core/resources/machine-amounts.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { never, TwoNodes } from './two-nodes.ts';

async function phasesSeen(nodes: TwoNodes): Promise<Migration[]> {
  const seen: Migration[] = [];
  const filter = { activeOnly: false, id: nodes.id, vmUid: undefined, labels: EVERYTHING };
  for await (const event of nodes.source.agent.migrations.watch(filter, undefined, never)) {
    if (!('object' in event)) continue;
    seen.push(event.object);
    if (event.object.endedAtMs !== undefined) break;
  }
  return seen;
}

test('a VM that migrates runs at the destination with a higher epoch, and nothing is left behind', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.hypervisor.migrationIterations = 40;
  await nodes.start();
  const seen = await phasesSeen(nodes);
  const record = await nodes.ended();
  await nodes.assertRunsOn(nodes.destination);
  assert.deepEqual(
    record.phases.map(({ phase }) => phase),
    [
      'preparing',
      'copying',
      'switching-over',
      'cleaning-up',
      'completed',
    ] satisfies MigrationPhase[],
  );
  assert.equal(seen.at(-1)?.phase, 'completed');
  assert.equal(seen.at(-1)?.progress.fractionDone, 1);
  const done = seen.map(({ progress }) => progress.fractionDone ?? Number.NaN);
  assert.deepEqual(
    done,
    done.toSorted((left, right) => left - right),
  );
});

test('the figures of a migration are those of its job and its transfer', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { source, id, vm } = nodes;
  source.transfers.patch(id, { wireBytesSent: 700, wireBytesReceived: 70, reconnects: 2 });
  source.hypervisor.advance(vm.uid);
  await until('the progress shows', async () => {
    const { progress } = await source.agent.migrations.get(id);
    return progress.iteration === 1 && progress.wireBytes === 770n;
  });
  const { progress } = await source.agent.migrations.get(id);
  assert.equal(progress.memoryTotalBytes, BigInt(memoryBytesOf(vm.spec.template.spec)));
  source.hypervisor.manualProgress = false;
  source.hypervisor.advance(vm.uid);
  const { result } = await nodes.ended();
  assert.equal(result?.downtimeMs, 20);
  assert.equal(result?.wireBytes, 770n);
  assert.equal(result?.reconnects, 2);
});

test('the limits of a migration come from the request, or else from the defaults', async () => {
  for (const [bandwidthBitsPerSecond, expected] of [
    [undefined, 1_000],
    [616, 77],
  ] as const) {
    using nodes = await TwoNodes.open();
    await nodes.start({ bandwidthBitsPerSecond });
    await nodes.ended();
    assert.equal(nodes.source.transfers.requests[0]?.bandwidthBytesPerSecond, expected);
    assert.equal(nodes.source.transfers.requests[0]?.peerName, 'spiffe://novacron/node/b');
  }
});

test('a cancelled copy leaves the VM where it was, and cancelling again changes nothing', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { migrations } = nodes.source.agent;
  await migrations.cancel(nodes.id);
  await migrations.cancel(nodes.id);
  const record = await nodes.ended();
  assert.deepEqual([record.phase, record.reason], ['cancelled', 'MIGRATION_CANCELLED']);
  await nodes.assertRunsOn(nodes.source);
  assert.equal((await migrations.cancel(nodes.id)).phase, 'cancelled');
});

test('a migration that is cancelled while the hypervisor waits for the other one to answer has its way there cut', async () => {
  using nodes = await TwoNodes.open();
  const { hypervisor, transfers } = nodes.source;
  const answer = hypervisor.block('migrate');
  await nodes.start();
  await until('it copies', () => nodes.source.record(nodes.id)?.phase === 'copying');
  await nodes.source.agent.migrations.cancel(nodes.id);
  await until('its transfer has ended', async () => {
    return (await transfers.find(nodes.id, never)) === undefined;
  });
  hypervisor.fail('migrate', new AgentError('HYPERVISOR_REFUSED', 'The connection was closed'));
  answer();
  const record = await nodes.ended();
  assert.deepEqual([record.phase, record.reason], ['cancelled', 'MIGRATION_CANCELLED']);
  await nodes.assertRunsOn(nodes.source);
});

test('a cancelled migration is so on both nodes, and the destination is free once the source says it is over', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  await nodes.source.agent.migrations.cancel(nodes.id);
  const { phase, message } = await nodes.ended();
  const there = nodes.destination.record(nodes.id);
  assert.deepEqual([there?.phase, there?.reason], [phase, 'MIGRATION_CANCELLED']);
  assert.deepEqual([phase, there?.message], ['cancelled', message]);
  assert.match(message, /stays on node a$/);
  nodes.source.hypervisor.manualProgress = false;
  const again = { id: randomUUID(), spec: nodes.spec, labels: {}, requestedBy: 'test' };
  nodes.route(again.id);
  await nodes.source.agent.migrations.start(again, never);
  await until('it has ended', async () => {
    return (await nodes.source.agent.migrations.get(again.id)).endedAtMs !== undefined;
  });
  const second = await nodes.source.agent.migrations.get(again.id);
  assert.deepEqual([second.phase, second.message], ['completed', '']);
});

test('a cancel that overtakes the start waits for it', async () => {
  using nodes = await TwoNodes.open();
  const starting = nodes.start();
  await nodes.source.agent.migrations.cancel(nodes.id);
  await starting;
  assert.equal((await nodes.ended()).phase, 'cancelled');
});

test('a migration that is cancelled while it is prepared never begins to copy', async () => {
  using nodes = await TwoNodes.open();
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  nodes.destination.transfers.gate = gate;
  await nodes.start();
  await until('the destination prepares', () => nodes.destination.record(nodes.id) !== undefined);
  await nodes.source.agent.migrations.cancel(nodes.id);
  const record = await nodes.ended();
  open();
  assert.deepEqual(
    record.phases.map(({ phase }) => phase),
    ['preparing', 'cancelled'],
  );
  await nodes.assertRunsOn(nodes.source);
});

test('a migration past its switchover cannot be cancelled and completes', async () => {
  using nodes = await TwoNodes.open();
  const goOn = await nodes.switchingOver();
  await assert.rejects(nodes.source.agent.migrations.cancel(nodes.id), {
    reason: 'MIGRATION_PAST_SWITCHOVER',
  });
  goOn();
  assert.equal((await nodes.ended()).phase, 'completed');
  await nodes.assertRunsOn(nodes.destination);
});

test('a cancel that comes while the switchover is recorded is refused', async () => {
  using nodes = await TwoNodes.open();
  const { migrationStore, agent } = nodes.source;
  const update = migrationStore.update.bind(migrationStore);
  let cancelling: Promise<unknown> | undefined;
  migrationStore.update = async (record) => {
    if (record.phase === 'switching-over' && !record.cancelRequested) {
      cancelling ??= assert.rejects(agent.migrations.cancel(nodes.id), {
        reason: 'MIGRATION_PAST_SWITCHOVER',
      });
    }
    return await update(record);
  };
  await nodes.start();
  const record = await nodes.ended();
  assert.deepEqual([record.phase, record.cancelRequested], ['completed', false]);
  assert.ok(cancelling);
  await cancelling;
});

test('a copy that takes longer than allowed is stopped', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.hypervisor.manualProgress = true;
  await nodes.start({ timeoutMs: 20 });
  const record = await nodes.ended();
  assert.deepEqual([record.phase, record.reason], ['failed', 'MIGRATION_TIMEOUT']);
  await nodes.assertRunsOn(nodes.source);
});

test('a time limit of months is no time limit of a millisecond', async () => {
  using nodes = await TwoNodes.open();
  await nodes.start({ timeoutMs: 2 ** 40 });
  assert.equal((await nodes.ended()).phase, 'completed');
});

test('a time limit does not stop a migration past its switchover', async (context) => {
  using nodes = await TwoNodes.open();
  const hourMs = 3_600_000;
  const limits: (() => void)[] = [];
  const start = setTimeout;
  context.mock.method(globalThis, 'setTimeout', (pass: () => void, ms: number) => {
    if (ms > hourMs / 2) limits.push(pass);
    return start(pass, ms);
  });
  const goOn = await nodes.switchingOver({ timeoutMs: hourMs });
  assert.equal(limits.length, 1);
  limits[0]?.();
  goOn();
  assert.equal((await nodes.ended()).phase, 'completed');
});

test('a peer that agrees on a protocol that we do not speak is refused', async () => {
  using nodes = await TwoNodes.open();
  const { incoming } = nodes.destination.agent;
  const handshake = incoming.handshake.bind(incoming);
  incoming.handshake = async (...args) => ({ ...(await handshake(...args)), protocol: 99 });
  const { blockers } = await nodes.source.agent.migrations.plan(nodes.spec, never);
  assert.deepEqual(
    blockers.map(({ reason, nodeName }) => [reason, nodeName]),
    [['PEER_INCOMPATIBLE', 'b']],
  );
  await assert.rejects(nodes.start(), { reason: 'PEER_INCOMPATIBLE' });
});

test('too little memory is one blocker, however many checks find it', async () => {
  using nodes = await TwoNodes.open();
  nodes.destination.invalid = new AgentError('NODE_CAPACITY_EXCEEDED', 'is more than there is');
  nodes.destination.agent.capacity.assertRoom = () => {
    throw new AgentError('NODE_CAPACITY_EXCEEDED', 'is more than is left');
  };
  const { blockers } = await nodes.source.agent.migrations.plan(nodes.spec, never);
  assert.deepEqual(
    blockers.map(({ message }) => message),
    ['is more than there is'],
  );
});

test('a plan names everything that stands in the way at once and changes nothing', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, vm } = nodes;
  await source.hypervisor.domains.suspend(vm.uid, never);
  destination.invalid = new AgentError('IMAGE_NOT_FOUND', 'no image');
  await destination.hypervisor.domains.define({ ...vm, uid: randomUUID() }, never);
  await destination.agent.inventory.refresh(never);
  destination.agent.capacity.keep({
    vmUid: randomUUID(),
    namespace: 'test',
    name: 'hog',
    amounts: destination.agent.capacity.allocatable,
  });
  const { blockers } = await source.agent.migrations.plan(nodes.spec, never);
  assert.deepEqual(
    blockers.map(({ reason, nodeName }) => `${reason} ${nodeName}`),
    ['VM_PAUSED a', 'VM_ALREADY_EXISTS b', 'IMAGE_NOT_FOUND b', 'NODE_CAPACITY_EXCEEDED b'],
  );
  assert.deepEqual(source.records(), []);
  assert.deepEqual(destination.records(), []);
  assert.deepEqual(await destination.transfers.list(never), []);
  await assert.rejects(nodes.start(), { reason: 'MIGRATION_BLOCKED' });
  assert.equal(source.agent.locks.purposeOf(vm.uid), undefined);
});

test('a plan for a VM that is on its way leaves its reserved memory alone', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { capacity } = nodes.destination.agent;
  const before = capacity.allocated();
  assert.equal(before['memory'], nodeMemoryBytesOf(nodes.vm.spec.template.spec));
  await nodes.source.agent.migrations.plan(nodes.spec, never);
  assert.deepEqual(capacity.allocated(), before);
});

test('a VM is not sent where it cannot be or to where it is', async () => {
  using nodes = await TwoNodes.open();
  await assert.rejects(nodes.start({ destinationNode: 'c' }), { reason: 'PEER_UNKNOWN' });
  nodes.source.wire.unreachable = true;
  await assert.rejects(nodes.start(), { reason: 'PEER_UNREACHABLE' });
  assert.equal(nodes.source.record(nodes.id), undefined);
  await nodes.assertRunsOn(nodes.source);
});

test('the same id again is the same migration, also after its end', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  assert.equal((await nodes.start()).phase, 'copying');
  nodes.source.hypervisor.manualProgress = false;
  nodes.source.hypervisor.advance(nodes.vm.uid);
  await nodes.ended();
  assert.equal((await nodes.start()).phase, 'completed');
  assert.equal(nodes.source.transfers.requests.length, 1);
});

test('an id that stands for another migration is refused', async () => {
  using nodes = await TwoNodes.open();
  await nodes.start();
  const { name, namespace } = nodes.vm;
  const others = [
    { namespace, name: 'other', uid: undefined },
    { namespace: 'other', name, uid: undefined },
    { namespace, name, uid: randomUUID() },
  ];
  for (const vm of others) {
    await assert.rejects(nodes.start({ vm }), { reason: 'MIGRATION_ALREADY_EXISTS' });
  }
  await assert.rejects(nodes.start({ destinationNode: 'c' }), {
    reason: 'MIGRATION_ALREADY_EXISTS',
  });
});

test('a VM that migrates can neither migrate a second time nor be changed', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { migrations, vms } = nodes.source.agent;
  const { vm: ref } = nodes.spec;
  const second = { id: randomUUID(), spec: nodes.spec, labels: {}, requestedBy: 'tester' };
  await assert.rejects(migrations.start(second, never), { reason: 'VM_BUSY' });
  await assert.rejects(vms.shutdown(ref, never), { reason: 'VM_BUSY' });
  await assert.rejects(vms.delete(ref, { force: true }, never), { reason: 'VM_BUSY' });
  const vm = await vms.get(ref, never);
  assert.deepEqual([vm.phase, vm.migration?.id], ['migrating', nodes.id]);
});

test('what changes while a migration is checked is refused, so that nothing old is sent', async () => {
  using nodes = await TwoNodes.open();
  const { source } = nodes;
  source.wire.onCall = async (method) => {
    if (method !== 'check') return;
    await assert.rejects(source.agent.vms.shutdown(nodes.spec.vm, never), { reason: 'VM_BUSY' });
  };
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
});

test('a VM can come back, and go again', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, vm } = nodes;
  await nodes.start();
  await nodes.ended();
  await nodes.assertSound();
  const back = randomUUID();
  destination.hypervisor.addPeer(
    destination.transfers.socketPath(back, 'libvirt'),
    source.hypervisor,
  );
  const spec = { ...nodes.spec, destinationNode: 'a' };
  await destination.agent.migrations.start(
    { id: back, spec, labels: {}, requestedBy: 'tester' },
    never,
  );
  await until('it is back', () => destination.record(back)?.phase === 'completed');
  assert.equal((await source.find(vm.uid))?.definition?.ownershipEpoch, 3);
  assert.equal((await source.ownership()).find(vm.uid)?.left, undefined);
  const again = randomUUID();
  nodes.route(again);
  await until('it is free', () => source.agent.locks.purposeOf(vm.uid) === undefined);
  await source.agent.migrations.start(
    { id: again, spec: nodes.spec, labels: {}, requestedBy: 'tester' },
    never,
  );
  assert.equal((await nodes.ended(again)).phase, 'completed');
  assert.equal((await destination.find(vm.uid))?.definition?.ownershipEpoch, 4);
});

test('what runs is what moves, whatever is pending for its next start', async () => {
  const { spec } = tinyVm();
  const data = { name: 'data', kind: 'disk', format: 'raw', cache: 'none' } as const;
  const volumes = [{ ...data, source: { file: { path: '/srv/data.img' } } }];
  const withVolume = { ...spec, template: { spec: { ...spec.template.spec, volumes } } };
  using nodes = await TwoNodes.open({ spec: withVolume });
  const { source, vm } = nodes;
  source.hypervisor.keepsDevices = true;
  const smaller = { ...spec.template.spec, resources: { cpu: '1', memory: '32Mi' } };
  await source.hypervisor.domains.define(
    { ...vm, generation: 2, spec: { ...spec, template: { spec: smaller } } },
    never,
  );
  const { blockers, memoryBytes } = await source.agent.migrations.plan(nodes.spec, never);
  assert.deepEqual(
    blockers.map(({ subject, nodeName }) => [subject, nodeName]),
    [['spec.template.spec.volumes[0]', 'a']],
  );
  assert.equal(memoryBytes, 64 * 1024 ** 2);
});
