import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IncomingVm } from '../../../../src/agent/migration/migration.ts';
import { amountsOf } from '../../../../src/agent/node/amounts.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { nodeMemoryBytesOf } from '../../../../src/core/resources/machine-amounts.ts';
import { until } from '../../../fixtures/until.ts';
import { incomingOf } from './incoming-vm.ts';
import { never, TwoNodes } from './two-nodes.ts';

const TOKEN = 'ab'.repeat(32);
const ABORT = { outcome: 'abort' } as const;

function prepare(nodes: TwoNodes, changes: Partial<IncomingVm> = {}, signal = never) {
  const request = { migrationId: nodes.id, incoming: incomingOf(nodes, changes) };
  return nodes.destination.agent.incoming.prepare(
    { ...request, transferToken: TOKEN },
    'a',
    signal,
  );
}

function abort(nodes: TwoNodes, caller = 'a') {
  return nodes.destination.agent.incoming.release(nodes.id, nodes.vm.uid, ABORT, caller, never);
}

/** A migration in the middle of its copy. */
async function arriving(nodes: TwoNodes): Promise<void> {
  nodes.source.hypervisor.manualProgress = true;
  await nodes.start();
  await until('it is received', () => nodes.destination.record(nodes.id)?.phase === 'copying');
}

test('preparing again leads to the same transfer', async () => {
  using nodes = await TwoNodes.open();
  const first = await prepare(nodes);
  assert.deepEqual(await prepare(nodes), first);
  assert.equal(nodes.destination.transfers.requests.length, 1);
  const { agent, vm } = { agent: nodes.destination.agent, vm: nodes.vm };
  assert.equal(agent.locks.purposeOf(vm.uid), `migration ${nodes.id}`);
  assert.equal(agent.capacity.allocated()['memory'], nodeMemoryBytesOf(vm.spec.template.spec));
});

test('preparing waits for what the agent does with the VM by itself', async (context) => {
  using nodes = await TwoNodes.open();
  const { locks } = nodes.destination.agent;
  const { uid } = nodes.vm;
  const looking = locks.tryAcquire(uid, 'removal of files', { isByItself: true });
  const limits = context.mock.method(AbortSignal, 'timeout');
  const preparing = prepare(nodes);
  await until('it waits', () => limits.mock.calls.some(({ arguments: [ms] }) => ms === 2_000));
  assert.equal(locks.purposeOf(uid), 'removal of files');
  looking?.[Symbol.dispose]();
  await preparing;
  assert.equal(locks.purposeOf(uid), `migration ${nodes.id}`);
});

test('a request to prepare that comes after the source has called it off is refused', async () => {
  using nodes = await TwoNodes.open();
  await abort(nodes);
  await assert.rejects(prepare(nodes), { reason: 'MIGRATION_ALREADY_EXISTS' });
  await nodes.assertRunsOn(nodes.source);
});

test('a preparation that is called off while it is checked does not go on', async () => {
  using nodes = await TwoNodes.open();
  const goOn = nodes.destination.hypervisor.block('getInfo');
  const preparing = prepare(nodes);
  await abort(nodes);
  goOn();
  await assert.rejects(preparing, { reason: 'MIGRATION_ALREADY_EXISTS' });
  await nodes.assertSound();
  assert.equal(nodes.destination.transfers.requests.length, 0);
});

test('of a preparation and a call-off that are recorded at the same time neither is forgotten', async () => {
  for (const first of ['prepare', 'abort'] as const) {
    using nodes = await TwoNodes.open();
    const { migrationStore } = nodes.destination;
    const insert = migrationStore.insert.bind(migrationStore);
    let other: Promise<unknown> | undefined;
    // The other one has found no record and begins its own.
    migrationStore.insert = async (record) => {
      migrationStore.insert = insert;
      other = first === 'prepare' ? abort(nodes) : prepare(nodes);
      other.catch(() => undefined);
      return await insert(record);
    };
    const began = first === 'prepare' ? prepare(nodes) : abort(nodes);
    await began.catch(() => undefined);
    await other?.catch(() => undefined);
    await nodes.assertSound();
    assert.equal(nodes.destination.record(nodes.id)?.phase, 'failed');
    await assert.rejects(prepare(nodes), { reason: 'MIGRATION_ALREADY_EXISTS' });
  }
});

test('every reason against a VM is named', async () => {
  using nodes = await TwoNodes.open();
  const { hostUuid } = nodes.destination.hypervisor;
  const { incoming, ownership } = nodes.destination.agent;
  await ownership.release(nodes.vm, 7, 'c');
  const blockers = await incoming.check(
    incomingOf(nodes, {
      sourceHostUuid: hostUuid,
      accelerator: 'kvm',
      machineType: 'pc-q35-9.9',
      sourceQemuVersion: '8.1.0',
    }),
    'a',
    never,
  );
  assert.deepEqual(
    blockers.map(({ reason, subject }) => `${reason} ${subject}`),
    [
      'FEATURE_NOT_SUPPORTED ',
      'FEATURE_NOT_SUPPORTED status.accelerator',
      'FEATURE_NOT_SUPPORTED status.machineType',
      'FEATURE_NOT_SUPPORTED status.hypervisor.qemuVersion',
      'VM_NOT_OWNED status.ownershipEpoch',
    ],
  );
});

test('a preparation that fails leaves nothing', async () => {
  using nodes = await TwoNodes.open();
  nodes.destination.transfers.failStart = new AgentError('STREAM_FAILED', 'no port');
  await assert.rejects(prepare(nodes), { reason: 'STREAM_FAILED' });
  await nodes.assertSound();
  assert.equal(nodes.destination.record(nodes.id)?.phase, 'failed');
});

test('a preparation that fails with a full journal is cleaned up once there is room', async () => {
  using nodes = await TwoNodes.open();
  const { transfers, migrationStore } = nodes.destination;
  transfers.failStart = new AgentError('STREAM_FAILED', 'no port');
  const update = migrationStore.update.bind(migrationStore);
  let refusals = 4;
  migrationStore.update = async (record) => {
    if (refusals-- > 0) throw new AgentError('STORAGE_FULL', 'full');
    return await update(record);
  };
  await assert.rejects(prepare(nodes), { reason: 'STREAM_FAILED' });
  await nodes.assertSound();
});

test('a caller who goes away while it is prepared leaves nothing', async () => {
  using nodes = await TwoNodes.open();
  const { promise } = Promise.withResolvers<void>();
  nodes.destination.transfers.gate = promise;
  const stop = new AbortController();
  const preparing = prepare(nodes, {}, stop.signal);
  await until('it has begun', () => nodes.destination.record(nodes.id) !== undefined);
  stop.abort(new Error('enough'));
  await assert.rejects(preparing, { message: 'enough' });
  await nodes.assertSound();
});

test('only the node that a VM comes from is told of it or may release it', async () => {
  using nodes = await TwoNodes.open();
  await prepare(nodes);
  const { incoming } = nodes.destination.agent;
  const denied = { reason: 'PERMISSION_DENIED' };
  await assert.rejects(abort(nodes, 'c'), denied);
  await assert.rejects(incoming.get(nodes.id, nodes.vm.uid, 'c', never), denied);
  assert.equal(nodes.destination.record(nodes.id)?.phase, 'preparing');
});

test('a VM that has arrived cannot be called off', async () => {
  using nodes = await TwoNodes.open();
  await nodes.start();
  await nodes.ended();
  await assert.rejects(abort(nodes), { reason: 'MIGRATION_PAST_SWITCHOVER' });
  await nodes.assertRunsOn(nodes.destination);
});

test('a VM that is here without a record is not promised never to run', async () => {
  using nodes = await TwoNodes.open({}, { volumes: [] });
  const { hypervisor } = nodes.destination;
  await hypervisor.domains.define({ ...nodes.vm, ownershipEpoch: 2 }, never);
  await hypervisor.domains.start(nodes.vm.uid, never);
  await assert.rejects(abort(nodes), { reason: 'MIGRATION_PAST_SWITCHOVER' });
});

test('a node that has prepared nothing can neither stop a VM that arrives from another nor one that is here', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { agent, hypervisor } = nodes.destination;
  const refused = { reason: 'MIGRATION_PAST_SWITCHOVER' };
  const foreign = '99999999-9999-4999-8999-999999999999';
  const release = (vmUid: string) => agent.incoming.release(foreign, vmUid, ABORT, 'c', never);
  await assert.rejects(release(nodes.vm.uid), refused);
  assert.equal((await hypervisor.domains.find(nodes.vm.uid, never))?.state, 'incoming');

  const own = { ...nodes.vm, uid: '88888888-8888-4888-8888-888888888888', name: 'own' };
  await hypervisor.domains.define(own, never);
  await assert.rejects(release(own.uid), refused);
  assert.equal((await hypervisor.domains.find(own.uid, never))?.state, 'stopped');
});

test('a repeated request to prepare with another secret or another VM is refused', async () => {
  using nodes = await TwoNodes.open();
  await prepare(nodes);
  const { incoming } = nodes.destination.agent;
  const known = nodes.destination.record(nodes.id);
  assert.ok(known?.definition);
  const request = {
    migrationId: nodes.id,
    incoming: incomingOf(nodes, {
      definition: known.definition,
      machineType: '',
      accelerator: undefined,
      sourceHostUuid: 'x',
      sourceQemuVersion: '7.2.22',
    }),
    transferToken: 'f'.repeat(64),
  };
  await assert.rejects(incoming.prepare(request, 'a', never), {
    reason: 'MIGRATION_ALREADY_EXISTS',
  });
});

test('a transfer that dies before the VM has arrived ends the migration here', async () => {
  using nodes = await TwoNodes.open();
  await prepare(nodes);
  nodes.destination.transfers.fail(nodes.id, 'The link is gone');
  await until('it ends', () => nodes.destination.record(nodes.id)?.phase === 'failed');
  assert.equal(nodes.destination.record(nodes.id)?.message, 'The link is gone');
  await nodes.assertSound();
});

for (const caller of ['its source', 'the end of its transfer'] as const) {
  test(`a received VM that libvirt keeps is dropped after ${caller} has called it off`, async () => {
    using nodes = await TwoNodes.open();
    nodes.destination.hypervisor.keepsIncoming = true;
    await arriving(nodes);
    if (caller === 'its source') await abort(nodes);
    else nodes.destination.transfers.lose(nodes.id);
    nodes.source.hypervisor.advance(nodes.vm.uid);
    await nodes.ended();
    await nodes.assertRunsOn(nodes.source);
  });
}

test('a VM is received, then arrived, and keeps saying so', async () => {
  using nodes = await TwoNodes.open();
  const { incoming } = nodes.destination.agent;
  const get = async () => (await incoming.get(nodes.id, nodes.vm.uid, 'a', never)).state;
  assert.equal(await get(), 'absent');
  await arriving(nodes);
  assert.equal(await get(), 'receiving');
  nodes.source.hypervisor.manualProgress = false;
  nodes.source.hypervisor.advance(nodes.vm.uid);
  await nodes.ended();
  assert.equal(await get(), 'arrived');
  await nodes.destination.agent.vms.delete(nodes.spec.vm, { force: true }, never);
  assert.equal(await get(), 'arrived');
  assert.equal(nodes.destination.record(nodes.id)?.phase, 'completed');
});

test('a hypervisor that cannot be asked is not said to be without the VM', async () => {
  using nodes = await TwoNodes.open();
  await prepare(nodes);
  nodes.destination.hypervisor.disconnect();
  const { incoming } = nodes.destination.agent;
  const report = await incoming.get(nodes.id, nodes.vm.uid, 'a', never);
  assert.equal(report.state, 'unknown');
});

test('a VM that is to arrive keeps its memory and its lock over a restart of the agent', async () => {
  using nodes = await TwoNodes.open();
  await arriving(nodes);
  const { destination, vm } = nodes;
  destination.restarts = false;
  destination.agent.life.kill();
  await destination.boot();
  const { capacity, locks } = destination.agent;
  assert.equal(capacity.allocated()['memory'], nodeMemoryBytesOf(vm.spec.template.spec));
  assert.equal(locks.purposeOf(vm.uid), `migration ${nodes.id}`);
});

test('what is kept for a VM is what it has where it runs, whatever it has pending and whoever is killed', async () => {
  using nodes = await TwoNodes.open();
  const { destination } = nodes;
  const gib = 1024 ** 3;
  await prepare(nodes, { memoryBytes: gib, vcpus: 2 });
  const expected = amountsOf({ resources: { cpu: '2', memory: '1Gi' } });
  assert.deepEqual(destination.agent.capacity.allocated(), expected);
  destination.restarts = false;
  destination.agent.life.kill();
  await destination.boot();
  assert.deepEqual(destination.agent.capacity.allocated(), expected);
});

test('a VM that has arrived is free at once, whatever becomes of its transfer', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.wire.lostCalls.add('release');
  await nodes.start();
  const { destination, vm } = nodes;
  await until('it has arrived', () => destination.record(nodes.id)?.phase === 'completed');
  await until('it is free', () => destination.agent.locks.purposeOf(vm.uid) === undefined);
  assert.equal((await destination.transfers.list(never)).length, 1);
  await nodes.assertRunsOn(destination);
});

test('transfers that an earlier agent has left behind are removed', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.wire.lostCalls.add('release');
  await nodes.start();
  const { destination } = nodes;
  await until('it has arrived', () => destination.record(nodes.id)?.phase === 'completed');
  destination.agent.life.kill();
  assert.equal((await destination.transfers.list(never)).length, 1);
  await nodes.ended();
  await nodes.assertRunsOn(destination);
});

test('agents of versions that do not understand each other say so', async () => {
  using nodes = await TwoNodes.open();
  const { incoming } = nodes.destination.agent;
  const request = { protocolMin: 7, protocolMax: 9, agentVersion: '9.0.0', requiredFeatures: [] };
  await assert.rejects(incoming.handshake(request, never), { reason: 'PEER_INCOMPATIBLE' });
  const hello = await incoming.handshake({ ...request, protocolMin: 1 }, never);
  assert.deepEqual([hello.protocol, hello.nodeName], [1, 'b']);
});
