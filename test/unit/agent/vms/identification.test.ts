import assert from 'node:assert/strict';
import { test } from 'node:test';
import { obstacles } from '../../../../src/agent/telemetry/readiness.ts';
import { IdentificationStore } from '../../../../src/agent/vms/identification-store.ts';
import { rejectsWith } from '../../../contract/hypervisor-fixture.ts';
import { FakeHypervisor } from '../../../fakes/fake-hypervisor.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { recordedLog } from '../../../fakes/recorded-log.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { EVERYTHING, never, newRequest, OneNode, refOf, uidOf, WHOLE } from './one-node.ts';

const OPERATOR = 'spiffe://novacron/role/operator';

/** A node that has lost its agent's disk, with VMs `web` and `db` of its own, of which `web` cannot be read. */
async function lossOfDisk() {
  const before = await OneNode.open();
  const { hypervisor } = before;
  const web = newRequest('web');
  const db = newRequest('db', { runStrategy: 'Manual' });
  for (const request of [web, db]) await before.create(request);
  await before[Symbol.asyncDispose]();
  const letRead = hypervisor.keepUnread(uidOf(web));
  return { hypervisor, web, db, letRead };
}

async function withNewJournal() {
  const lost = await lossOfDisk();
  const node = await OneNode.open({
    hypervisor: lost.hypervisor,
    isNewJournal: true,
    unreadPatienceMs: 0,
  });
  await node.inventory.refresh(never);
  return { ...lost, node };
}

/** The next agent of a node whose journal is still there. */
async function restart({ agent, hypervisor, journal }: OneNode): Promise<OneNode> {
  await agent.tasks[Symbol.asyncDispose]();
  const node = await OneNode.open({
    hypervisor,
    journal,
    isNewJournal: true,
    unreadPatienceMs: 0,
  });
  await node.inventory.refresh(never);
  return node;
}

const stored = ({ journal }: OneNode) => new IdentificationStore(journal.database).get();

const conditionOf = async ({ agent }: OneNode, wanted: string) =>
  (await agent.node.get(never)).conditions.find(({ type }) => type === wanted);

test('an agent whose journal is new tells of no VM until all are read, and says why and what to do', async () => {
  const { node, web, db } = await withNewJournal();
  await using _node = node;
  for (const ask of [
    () => node.vms.list(EVERYTHING, WHOLE, never),
    () => node.vms.get(refOf(db), never),
    () => node.vms.start(refOf(db), never),
    () => node.create(newRequest('new')),
  ]) {
    await assert.rejects(ask(), {
      reason: 'STATE_NOT_READY',
      message: new RegExp(
        `journal is new.*_web \\(${uidOf(web)}\\).*novactl node accept-unidentified`,
      ),
    });
  }
  const [obstacle] = obstacles({
    storageHealth: () => ({ reason: 'Healthy', message: '' }),
    hypervisorConnected: () => true,
    vmsObstacle: () => node.inventory.findObstacle(),
    apiListening: () => true,
  });
  assert.equal(obstacle?.check, 'vms');
  assert.match(obstacle.message, /_web .*novactl node accept-unidentified/);
  assert.equal(node.agent.countUnidentified(), 1);
});

test('the node can be asked meanwhile, and names them', async () => {
  const { node, web } = await withNewJournal();
  await using _node = node;
  node.agent.tasks.run('node', (signal) => node.agent.node.run(signal));
  await until('it is connected', () => node.agent.node.connected);
  const ready = await conditionOf(node, 'Ready');
  assert.deepEqual([ready?.status, ready?.reason], ['false', 'VmsNotIdentified']);
  assert.match(ready?.message ?? '', /novactl node accept-unidentified/);
  assert.equal((await conditionOf(node, 'VirtualMachinesIdentified'))?.status, 'false');
  const { unidentifiedVms } = await node.agent.node.get(never);
  assert.deepEqual(
    unidentifiedVms.map(({ uid }) => uid),
    [uidOf(web)],
  );
});

test('once all are read its own are recorded, and it never waits again', async () => {
  const { node, web, db, letRead } = await withNewJournal();
  await using _node = node;
  node.agent.run();
  assert.equal((await stored(node)).isComplete, false);
  letRead();
  await until('it is complete', async () => (await stored(node)).isComplete);
  for (const request of [web, db]) assert.ok(node.ownership.isOwner(uidOf(request)));
  assert.equal((await node.vms.get(refOf(web), never)).phase, 'running');

  node.hypervisor.keepUnread(uidOf(web));
  await using next = await restart(node);
  // It has an owner by now.
  assert.equal((await next.vms.get(refOf(web), never)).reason, 'NotRead');
});

test('it is not complete before its own are recorded', async () => {
  const { node, web, letRead } = await withNewJournal();
  await using _node = node;
  letRead();
  const { tasks, identification, inventory, reconciler } = node.agent;
  tasks.run('inventory', (signal) => inventory.run(signal));
  let looks = 0;
  tasks.run('identification', async (signal) => {
    const seen = inventory.looks(signal);
    const counted = (async function* count() {
      for await (const look of seen) {
        yield look;
        looks += 1;
      }
    })();
    await identification.follow(counted);
  });
  await until('it has looked', () => looks > 3);
  assert.equal((await stored(node)).isComplete, false);
  tasks.run('reconciler', (signal) => reconciler.run(signal));
  await until('it is complete', async () => (await stored(node)).isComplete);
  assert.ok(node.ownership.isOwner(uidOf(web)));
});

test('a restart of the agent does not make it go on', async () => {
  const { node, db } = await withNewJournal();
  node.agent.run();
  await using next = await restart(node);
  await rejectsWith('STATE_NOT_READY', next.vms.get(refOf(db), never));
  assert.equal(next.inventory.findObstacle()?.reason, 'VmsNotIdentified');
  assert.equal((await stored(next)).isComplete, false);
});

test('an operator may have it go on, which is logged and remembered with who said so', async () => {
  const { log, text } = recordedLog();
  const { hypervisor, web, db, letRead } = await lossOfDisk();
  const node = await OneNode.open({ hypervisor, isNewJournal: true, unreadPatienceMs: 0, log });
  await node.inventory.refresh(never);
  const { accepted } = await node.agent.node.acceptUnidentified(OPERATOR);
  assert.deepEqual(
    accepted.map(({ uid }) => uid),
    [uidOf(web)],
  );
  assert.match(text(), new RegExp(`"acceptedBy":"${OPERATOR}".*goes on without knowing`));
  assert.deepEqual(await stored(node), { isComplete: true, acceptedBy: OPERATOR });

  const others = async (agent: OneNode) => {
    const { items } = await agent.vms.list(EVERYTHING, WHOLE, never);
    assert.deepEqual(
      items.map(({ definition }) => definition.name),
      ['db'],
    );
    await agent.vms.start(refOf(db), never);
    // It is still not said to be absent.
    await rejectsWith('STATE_NOT_READY', agent.vms.get(refOf(web), never));
    await rejectsWith('STATE_NOT_READY', agent.vms.delete(refOf(web), { force: true }, never));
    assert.equal((await conditionOf(agent, 'VirtualMachinesIdentified'))?.status, 'false');
  };
  await others(node);
  assert.deepEqual((await node.agent.node.acceptUnidentified(OPERATOR)).accepted, []);
  await using next = await restart(node);
  await others(next);

  next.agent.run();
  letRead();
  await until('it is recorded', () => next.ownership.isOwner(uidOf(web)));
  assert.equal((await next.vms.get(refOf(web), never)).phase, 'running');
  assert.equal((await conditionOf(next, 'VirtualMachinesIdentified'))?.status, 'true');
});

test('nobody can go on without VMs of which it is not known that they are there', async () => {
  const { hypervisor } = await lossOfDisk();
  await using node = await OneNode.open({ hypervisor, isNewJournal: true, unreadPatienceMs: 0 });
  await rejectsWith('STATE_NOT_READY', node.agent.node.acceptUnidentified(OPERATOR));
  assert.equal((await stored(node)).isComplete, false);
});

test('where it waits for none, going on changes nothing', async () => {
  await using node = await OneNode.open({ isNewJournal: true });
  await node.inventory.refresh(never);
  assert.deepEqual((await node.agent.node.acceptUnidentified(OPERATOR)).accepted, []);
  assert.deepEqual(await stored(node), { isComplete: false, acceptedBy: undefined });
});

test('a node without VMs is ready at once', async () => {
  await using node = await OneNode.open({ isNewJournal: true });
  node.agent.run();
  await until('it is listed', () => node.inventory.listedOnce);
  await until('it is complete', async () => (await stored(node)).isComplete);
});

test('VMs of others that can be read keep it from nothing', async () => {
  const hypervisor = new FakeHypervisor();
  const foreign = tinyVm();
  await hypervisor.domains.define(foreign, never);
  hypervisor.addForeign(foreign.uid);
  await using node = await OneNode.open({ hypervisor, isNewJournal: true });
  node.agent.run();
  await until('it is complete', async () => (await stored(node)).isComplete);
  assert.deepEqual((await node.vms.list(EVERYTHING, WHOLE, never)).items, []);
});

test('one that comes and cannot be read while it is not complete is waited for, unless it is known to be owned', async () => {
  const { hypervisor, web } = await lossOfDisk();
  await using node = await OneNode.open({ hypervisor, isNewJournal: true });
  const [domain] = (await hypervisor.domains.list(never)).filter(({ uid }) => uid === uidOf(web));
  const { identification, ownership } = node.agent;
  const look = { vms: [{ uid: uidOf(web), domain, vm: undefined }], returns: 0 };
  await identification.follow(
    (async function* twice() {
      yield look;
      assert.equal(identification.isComplete, false);
      await ownership.own(tinyVm({ uid: uidOf(web) }));
      yield look;
      assert.fail('it still looks');
    })(),
  );
  assert.equal((await stored(node)).isComplete, true);
});

test('a disk that is full when it is complete is waited for', async () => {
  const journal = new MemoryJournal();
  const store = new IdentificationStore(journal.database);
  await using node = await OneNode.open({ isNewJournal: true, journal });
  const { identification } = node.agent;
  journal.rows(
    'CREATE TRIGGER full BEFORE UPDATE ON identification BEGIN SELECT RAISE(FAIL, 1); END',
  );
  let looks = 0;
  await identification.follow(
    (async function* look() {
      for (; looks < 10; looks += 1) {
        yield { vms: [], returns: 0 };
        if (looks === 2) journal.rows('DROP TRIGGER full');
      }
    })(),
  );
  assert.equal(looks, 3);
  assert.equal((await store.get()).isComplete, true);
});
