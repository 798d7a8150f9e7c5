import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { KEPT_MIGRATIONS } from '../../../../src/agent/migration/migration-store.ts';
import { until } from '../../../fixtures/until.ts';
import { migrationRecord } from './migration-record.ts';
import { never, ROOT, TwoNodes } from './two-nodes.ts';

type Nodes = TwoNodes;

const settle = ({ source: { agent }, id }: Nodes, offNode = 'b') =>
  agent.migrations.settle({ id, offNode, saidBy: 'operator' }, never);
const settleThere = ({ destination: { agent }, id }: Nodes) =>
  agent.migrations.settle({ id, offNode: 'a', saidBy: 'operator' }, never);

/** Neither node hears of the other. */
function part({ source, destination }: Nodes, parted = true): void {
  source.wire.unreachable = parted;
  destination.wire.unreachable = parted;
}

const waits = ({ source, id }: Nodes) =>
  until('it says what can be done', async () => {
    const { message } = await source.agent.migrations.get(id);
    return message.includes(`novactl migration settle ${id} --node-is-off b`);
  });

type End = Nodes['source']['hypervisor']['switchoverEnd'];

/** A migration that waits for a destination that is not heard of any more. */
async function waiting(switchoverEnd: End, volumes = [ROOT]): Promise<Nodes> {
  const nodes = await TwoNodes.open({}, { volumes });
  const { source } = nodes;
  source.hypervisor.switchoverEnd = switchoverEnd;
  const goOn = await nodes.switchingOver();
  part(nodes);
  goOn();
  await waits(nodes);
  return nodes;
}

async function assertOursAgain({ source, vm }: Nodes): Promise<void> {
  const { definition } = (await source.find(vm.uid)) ?? {};
  assert.equal(definition?.ownershipEpoch, vm.ownershipEpoch + 2);
  const ownership = await source.ownership();
  assert.equal(ownership.find(vm.uid)?.ownershipEpoch, vm.ownershipEpoch + 2);
  assert.equal(ownership.isOwner(vm.uid), true);
  await until('it is free', () => source.agent.locks.purposeOf(vm.uid) === undefined);
}

/** The agent of the source ends while the VM is copied, and nobody looks for a while. */
async function killedWhileCopying(nodes: Nodes): Promise<void> {
  const { source } = nodes;
  source.hypervisor.switchoverEnd = 'reply-lost-held';
  await nodes.copying();
  source.restarts = false;
  source.agent.life.kill();
}

/** The host of the source loses power, and is there again before its network is. */
async function rebootAlone(nodes: Nodes): Promise<void> {
  const { source, destination, id } = nodes;
  part(nodes);
  source.transfers.fail(id, 'off');
  destination.transfers.fail(id, 'off');
  source.hypervisor.reboot();
  await source.boot();
}

async function startsHere({ source, vm }: Nodes): Promise<void> {
  await until('it is free', () => source.agent.locks.purposeOf(vm.uid) === undefined);
  await source.agent.vms.start({ ...vm, uid: undefined }, never);
  assert.equal((await source.find(vm.uid))?.state, 'running');
}

test('a guest that is held for a destination that is off for good runs on here, by the word of an operator', async () => {
  using nodes = await waiting('held');
  await settle(nodes);
  const { phase, reason, message } = await nodes.ended();
  assert.deepEqual([phase, reason], ['failed', 'MIGRATION_FAILED']);
  assert.match(message, /^Node b is off for good by the word of operator; the VM stays on node a/);
  assert.equal((await nodes.source.find(nodes.vm.uid))?.state, 'running');
  await assertOursAgain(nodes);
  assert.deepEqual(nodes.storage.violations, []);
});

test('while it waits, the VM says so, and so does whoever refuses anything else', async () => {
  using nodes = await waiting('held');
  const { agent } = nodes.source;
  const vm = { namespace: nodes.vm.namespace, name: nodes.vm.name, uid: undefined };
  const way = new RegExp(`settle ${nodes.id} --node-is-off b`);
  await assert.rejects(agent.vms.suspend(vm, never), ({ reason, message }) => {
    assert.equal(reason, 'VM_BUSY');
    assert.match(message, way);
    assert.doesNotMatch(message, /migration cancel/);
    return true;
  });
  await agent.inventory.refresh(never);
  const { reason, message } = await agent.vms.get(vm, never);
  assert.equal(reason, 'WaitingForNode');
  assert.match(message, way);
});

test('said twice it is done once, and what has ended so can be said again', async () => {
  using nodes = await waiting('held');
  await settle(nodes);
  await settle(nodes);
  await nodes.ended();
  assert.equal((await settle(nodes)).phase, 'failed');
  const resumed = nodes.source.hypervisor.calls.filter((call) => call.startsWith('resume'));
  assert.equal(resumed.length, 1);
});

test('nobody settles what does not wait, nor by the name of another node', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  await assert.rejects(settle(nodes), { reason: 'MIGRATION_NOT_WAITING', message: /goes on/ });
  await assert.rejects(settleThere(nodes), { reason: 'MIGRATION_NOT_WAITING' });
  await assert.rejects(settle(nodes, 'c'), {
    reason: 'INVALID_REQUEST',
    message: /must be b, the other node/,
  });
  nodes.source.hypervisor.manualProgress = false;
  nodes.source.hypervisor.advance(nodes.vm.uid);
  await nodes.ended();
  await nodes.assertRunsOn(nodes.destination);
  await assert.rejects(settle(nodes), { reason: 'MIGRATION_NOT_WAITING', message: /has ended/ });
  await assert.rejects(settleThere(nodes), { reason: 'MIGRATION_NOT_WAITING' });
});

test('a destination that answers is believed, and not the operator', async () => {
  using nodes = await waiting('reply-lost-held');
  part(nodes, false);
  await assert.rejects(settle(nodes), { reason: 'MIGRATION_NOT_WAITING' });
  assert.equal((await nodes.ended()).phase, 'completed');
  await nodes.assertRunsOn(nodes.destination);
});

test('a copy at the destination that was not off after all loses its power once the nodes hear of each other', async () => {
  using nodes = await waiting('reply-lost-held', []);
  const { destination, vm } = nodes;
  await settle(nodes);
  await nodes.ended();
  await assertOursAgain(nodes);
  assert.equal((await destination.find(vm.uid))?.state, 'running');
  part(nodes, false);
  await until('its power is cut', async () => {
    await destination.agent.inventory.refresh(never);
    return (await destination.find(vm.uid))?.state === 'stopped';
  });
  assert.equal((await destination.ownership()).isOwner(vm.uid), false);
  assert.equal((await nodes.source.find(vm.uid))?.state, 'running');
});

test('a copy that is not off after all, and has the disks locked, keeps the VM from going on here until it is off', async () => {
  using nodes = await waiting('reply-lost-held');
  const { source, destination, vm, id } = nodes;
  await settle(nodes);
  await until('it says why', async () => {
    const { message } = await source.agent.migrations.get(id);
    return /It is held still.*Make sure that node b is off/.test(message);
  });
  part(nodes, false);
  await until('the other one is off', async () => {
    await destination.agent.inventory.refresh(never);
    return (await destination.find(vm.uid))?.state === 'stopped';
  });
  assert.equal((await nodes.ended()).reason, 'MIGRATION_FAILED');
  assert.equal((await source.find(vm.uid))?.state, 'running');
  assert.deepEqual(nodes.storage.violations, []);
});

test('a destination that comes back does not start what it has before it knows whose it is', async () => {
  using nodes = await waiting('reply-lost-held', []);
  const { destination, vm } = nodes;
  await until('it has arrived', () => destination.record(nodes.id)?.phase === 'completed');
  destination.restarts = false;
  destination.agent.life.kill();
  await destination.hypervisor.domains.destroy(vm.uid, never);
  await settle(nodes);
  await nodes.ended();
  await destination.boot();
  await destination.agent.inventory.refresh(never);
  const ref = { namespace: vm.namespace, name: vm.name, uid: undefined };
  const starting = (): Promise<string> =>
    destination.agent.vms.start(ref, never).then(
      () => assert.fail('It was started'),
      (error: Error) => error.message,
    );
  // At its start an agent looks after the files of the VM first.
  await until('it says why', async () => {
    return /node a, where it came from, has not said yet/.test(await starting());
  });
  part(nodes, false);
  await until('it knows', async () => !(await destination.ownership()).isOwner(vm.uid));
  await assert.rejects(destination.agent.vms.start(ref, never), { reason: 'VM_NOT_OWNED' });
  assert.equal((await destination.find(vm.uid))?.state, 'stopped');
});

test('half of a guest whose other half is gone for good is powered off, and the VM can be started again', async () => {
  using nodes = await waiting('pages-left');
  const { source, destination, vm } = nodes;
  await settle(nodes);
  const { phase, reason, message } = await nodes.ended();
  assert.deepEqual([phase, reason], ['failed', 'VM_NOT_RUNNING']);
  assert.match(message, /Memory of it was lost with node b.*vm start test\/web$/);
  assert.equal((await source.find(vm.uid))?.state, 'stopped');
  await assertOursAgain(nodes);
  part(nodes, false);
  await until('the other half is gone', async () => (await destination.find(vm.uid)) === undefined);
  const ref = { namespace: vm.namespace, name: vm.name, uid: undefined };
  await source.agent.vms.start(ref, never);
  assert.equal((await source.find(vm.uid))?.state, 'running');
});

test('a VM that had left for a node that is off for good is here again, off', async () => {
  using nodes = await TwoNodes.open();
  const { source, vm } = nodes;
  const goOn = await nodes.switchingOver();
  source.restarts = false;
  source.agent.life.kill();
  goOn();
  await until('it has left', async () => (await source.find(vm.uid)) === undefined);
  part(nodes);
  await source.boot();
  await waits(nodes);
  await settle(nodes);
  assert.equal((await nodes.ended()).reason, 'VM_NOT_RUNNING');
  assert.equal((await source.find(vm.uid))?.state, 'stopped');
  await assertOursAgain(nodes);
});

test('a VM that had left with a snapshot that somebody had taken is here again with that, and not with the disk below it', async () => {
  using nodes = await TwoNodes.open();
  const { source, storage, vm } = nodes;
  const path = '/srv/images/web.s1';
  const images = [{ kind: 'file', path, format: 'qcow2' }] as const;
  const disk = { name: 'root', target: 'vda', readOnly: false, cache: 'none', images };
  source.hypervisor.setDisks(vm.uid, [disk]);
  source.hypervisor.changeUnseen(vm.uid, 'volumes');
  const facts = { kind: 'file', name: 'web.s1', format: 'qcow2', sizeBytes: 2 ** 20 } as const;
  storage.put(['a', 'b'], path, { facts: { ...facts, fileId: '6969:8' } });
  const goOn = await nodes.switchingOver();
  assert.notEqual(source.record(nodes.id)?.blueprint, undefined);
  source.restarts = false;
  source.agent.life.kill();
  goOn();
  await until('it has left', async () => (await source.find(vm.uid)) === undefined);
  part(nodes);
  await source.boot();
  await waits(nodes);
  await settle(nodes);
  assert.equal((await nodes.ended()).reason, 'VM_NOT_RUNNING');
  await assertOursAgain(nodes);
  const found = await source.hypervisor.domains.find(vm.uid, never);
  assert.deepEqual([found?.state, found?.disks, found?.drift], ['stopped', [disk], ['volumes']]);
  assert.equal(source.record(nodes.id)?.blueprint, undefined);
  const { definition } = found ?? {};
  assert.deepEqual(definition?.spec, vm.spec);
});

test('a node that nobody knows the address of any more is waited for, and can be done without', async () => {
  using nodes = await waiting('held');
  const { source } = nodes;
  source.restarts = false;
  source.agent.life.kill();
  source.forgetsPeers = true;
  await source.boot();
  await waits(nodes);
  await settle(nodes);
  assert.equal((await nodes.ended()).phase, 'failed');
  await assertOursAgain(nodes);
});

test('a host that lost power in a switchover that its journal had not heard of waits for the destination', async () => {
  // With no locks of disks that would keep it from a second start.
  using nodes = await TwoNodes.open({}, { volumes: [] });
  const { source, destination, vm, id } = nodes;
  await killedWhileCopying(nodes);
  source.hypervisor.manualProgress = false;
  source.hypervisor.advance(vm.uid);
  await until('it runs there', async () => (await destination.find(vm.uid))?.state === 'running');
  assert.equal(source.record(id)?.phase, 'copying');
  await rebootAlone(nodes);
  await waits(nodes);
  assert.equal((await source.find(vm.uid))?.state, 'stopped');
  part(nodes, false);
  assert.equal((await nodes.ended()).phase, 'completed');
  await nodes.assertRunsOn(destination);
});

test('a host that lost power before the switchover has its VM back as soon as the destination answers', async () => {
  using nodes = await TwoNodes.open();
  await killedWhileCopying(nodes);
  await rebootAlone(nodes);
  await waits(nodes);
  part(nodes, false);
  assert.equal((await nodes.ended()).reason, 'VM_NOT_RUNNING');
  await nodes.assertSound();
  await startsHere(nodes);
});

test('a host that lost power before the switchover has its VM back by the word that the destination is off for good', async () => {
  using nodes = await TwoNodes.open();
  await killedWhileCopying(nodes);
  await rebootAlone(nodes);
  await waits(nodes);
  await settle(nodes);
  assert.equal((await nodes.ended()).reason, 'VM_NOT_RUNNING');
  await assertOursAgain(nodes);
  await startsHere(nodes);
});

for (const switchoverEnd of ['held', 'pages-left', 'reply-lost'] as const) {
  test(`wherever the agent is killed meanwhile, it ends as was said (${switchoverEnd})`, async () => {
    for (let step = 1; ; step++) {
      using nodes = await waiting(switchoverEnd, []);
      const { source, vm, id } = nodes;
      const { life } = source.agent;
      life.killAt(step);
      await until('it has ended', async () => {
        if (source.record(id)?.endedAtMs !== undefined) return true;
        // Killed before it was recorded, it was not said.
        if (!source.agent.life.killed && source.record(id)?.otherNodeOff === undefined) {
          await Promise.race([settle(nodes), source.agent.life.death]).catch(() => undefined);
        }
        return false;
      });
      await until('the agent lives', () => !source.agent.life.killed);
      await until('it is free', () => source.agent.locks.purposeOf(vm.uid) === undefined);
      const state = switchoverEnd === 'pages-left' ? 'stopped' : 'running';
      const where = `step ${step}: ${life.steps.at(-1)}`;
      assert.equal((await source.find(vm.uid))?.state, state, where);
      assert.equal(source.record(id)?.phase, 'failed', where);
      await assertOursAgain(nodes);
      if (life.killed) continue;
      assert.ok(step > 8, `only ${step} steps`);
      break;
    }
  });
}

test('half of a guest whose source is gone for good is powered off at the destination, which has the VM', async () => {
  using nodes = await waiting('pages-left');
  const { source, destination, vm, id } = nodes;
  source.restarts = false;
  source.agent.life.kill();
  source.transfers.fail(id, 'off');
  destination.transfers.fail(id, 'off');
  await until('it says what can be done', async () => {
    const { message } = await destination.agent.migrations.get(id);
    return message.includes(`novactl migration settle ${id} --node-is-off a`);
  });
  await settleThere(nodes);
  await until('it has ended', () => destination.record(id)?.endedAtMs !== undefined);
  assert.equal(destination.record(id)?.phase, 'completed');
  assert.match(
    destination.record(id)?.message ?? '',
    /Memory of it was lost with node a.*vm start test\/web$/,
  );
  assert.equal((await destination.find(vm.uid))?.state, 'stopped');
  assert.equal((await settleThere(nodes)).phase, 'completed');
  const ref = { namespace: vm.namespace, name: vm.name, uid: undefined };
  await until('it is free', () => destination.agent.locks.purposeOf(vm.uid) === undefined);
  await destination.agent.vms.start(ref, never);
  // Its host was off, and comes back all the same.
  part(nodes, false);
  await source.hypervisor.domains.destroy(vm.uid, never);
  await source.boot();
  assert.equal((await nodes.ended()).phase, 'completed');
  assert.equal(await source.find(vm.uid), undefined);
  assert.equal((await destination.find(vm.uid))?.state, 'running');
});

test('what has arrived and was never confirmed is neither started nor moved on before its source has spoken, or is off for good', async () => {
  using nodes = await waiting('reply-lost-held');
  const { source, destination, vm, id } = nodes;
  await until('it has arrived', () => destination.record(id)?.phase === 'completed');
  source.restarts = false;
  source.agent.life.kill();
  await destination.agent.inventory.refresh(never);
  const ref = { namespace: vm.namespace, name: vm.name, uid: undefined };
  const spec = { ...nodes.spec, destinationNode: 'a' };
  const { blockers } = await destination.agent.migrations.plan(spec, never);
  assert.ok(
    blockers.some(({ reason, message }) => reason === 'VM_BUSY' && /--node-is-off a/.test(message)),
  );
  const given = { vmUid: vm.uid, ownershipEpoch: vm.ownershipEpoch + 1 };
  await assert.rejects(destination.agent.ownershipManager.handOver(given, 'c', never), {
    reason: 'VM_BUSY',
    message: /node a, where it came from, has not said yet/,
  });
  await destination.hypervisor.domains.destroy(vm.uid, never);
  await destination.agent.inventory.refresh(never);
  await assert.rejects(destination.agent.vms.start(ref, never), { reason: 'VM_BUSY' });
  await settleThere(nodes);
  await settleThere(nodes);
  await destination.agent.vms.start(ref, never);
  assert.equal((await destination.find(vm.uid))?.state, 'running');
});

/** As many later migrations as a node keeps. */
async function forgetsMigrations({ destination: { agent } }: Nodes): Promise<void> {
  for (let count = 0; count < KEPT_MIGRATIONS; count++) {
    const id = randomUUID();
    await agent.book.begin(migrationRecord(id, { startedAtMs: Date.now() }));
    await agent.book.move(id, 'failed');
  }
}

test('what was never confirmed can be settled however many migrations there were since', async () => {
  using nodes = await waiting('reply-lost-held');
  const { source, destination, vm, id } = nodes;
  await until('it has arrived', () => destination.record(id)?.phase === 'completed');
  source.restarts = false;
  source.agent.life.kill();
  await destination.hypervisor.domains.destroy(vm.uid, never);
  await forgetsMigrations(nodes);
  assert.equal((await destination.agent.migrations.get(id)).phase, 'completed');
  destination.restarts = false;
  destination.agent.life.kill();
  await destination.boot();
  await destination.agent.inventory.refresh(never);
  const ref = { namespace: vm.namespace, name: vm.name, uid: undefined };
  await until('it is free', () => destination.agent.locks.purposeOf(vm.uid) === undefined);
  await assert.rejects(destination.agent.vms.start(ref, never), { reason: 'VM_BUSY' });
  await settleThere(nodes);
  await destination.agent.vms.start(ref, never);
  assert.equal((await destination.find(vm.uid))?.state, 'running');
});

test('a source that comes back is not told that a VM never came that has moved on long ago', async () => {
  using nodes = await waiting('reply-lost-held', []);
  const { source, destination, vm, id } = nodes;
  await until('it has arrived', () => destination.record(id)?.phase === 'completed');
  source.restarts = false;
  source.agent.life.kill();
  source.hypervisor.reboot();
  await settleThere(nodes);
  // Another node has it now, and nothing is left of it here but that.
  await destination.agent.ownership.release(vm, vm.ownershipEpoch + 2, 'c');
  await destination.hypervisor.domains.destroy(vm.uid, never);
  await destination.hypervisor.domains.undefine(vm.uid, never);
  await destination.agent.inventory.refresh(never);
  await forgetsMigrations(nodes);
  assert.equal(destination.record(id), undefined);
  part(nodes, false);
  await source.boot();
  assert.equal((await nodes.ended()).phase, 'completed');
  assert.equal(await source.find(vm.uid), undefined);
  assert.equal((await source.ownership()).isOwner(vm.uid), false);
});

test('what was never confirmed is not powered off to be restarted, as it could not be started again', async () => {
  using nodes = await waiting('reply-lost-held');
  const { source, destination, vm, id } = nodes;
  await until('it has arrived', () => destination.record(id)?.phase === 'completed');
  source.restarts = false;
  source.agent.life.kill();
  const { operations, locks, inventory } = destination.agent;
  await until('it is free', () => locks.purposeOf(vm.uid) === undefined);
  await inventory.refresh(never);
  const ref = { namespace: vm.namespace, name: vm.name, uid: undefined };
  for (const isForced of [false, true]) {
    const restart = {
      id: randomUUID(),
      kind: 'restart',
      vm: ref,
      parameters: { isForced },
    } as const;
    await assert.rejects(operations.submit({ ...restart, requestedBy: 'tester' }, never), {
      reason: 'VM_BUSY',
      message: new RegExp(`novactl migration settle ${id} --node-is-off a`),
    });
  }
  assert.equal((await destination.find(vm.uid))?.state, 'running');
  for (const how of ['ask', 'cut'] as const) {
    await assert.rejects(destination.agent.vms.stopToRestart(ref, how, never), {
      reason: 'VM_BUSY',
    });
  }
  assert.equal((await destination.find(vm.uid))?.state, 'running');
});

test('what was never confirmed is confirmed by its source as soon as that can be asked', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, vm } = nodes;
  source.wire.lostCalls.add('release');
  destination.wire.unreachable = true;
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
  assert.notEqual((await destination.ownership()).unconfirmed(vm.uid), undefined);
  destination.wire.unreachable = false;
  await until('it is', async () => {
    await destination.agent.inventory.refresh(never);
    return (await destination.ownership()).unconfirmed(vm.uid) === undefined;
  });
});
