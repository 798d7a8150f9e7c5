import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { FakeHypervisor, fakeMigration } from '../../../fakes/fake-hypervisor.ts';
import { until } from '../../../fixtures/until.ts';
import { never, type TestNode, TwoNodes } from '../migration/two-nodes.ts';

/** Two nodes with a VM of the first that names its host as its owner. */
async function openNodes(options: Parameters<typeof TwoNodes.open>[1] = {}): Promise<TwoNodes> {
  const nodes = await TwoNodes.open({}, options);
  const { hypervisor } = nodes.source;
  await hypervisor.domains.setFacts(nodes.vm.uid, { owner: hypervisor.hostUuid }, never);
  FakeHypervisor.connect(hypervisor, nodes.destination.hypervisor);
  return nodes;
}

/** Does what virsh migrate does, with --undefinesource or without. */
async function moveByHand(nodes: TwoNodes, keepsSource = true): Promise<void> {
  const { source, destination, vm } = nodes;
  source.hypervisor.keepsMigrated = keepsSource;
  const { disks = [] } = (await source.find(vm.uid)) ?? {};
  const request = { ...fakeMigration(destination.hypervisor, {}), disks };
  await source.hypervisor.jobs.migrate(vm.uid, request, never);
}

async function factsAt(node: TestNode, uid: string) {
  const { definition, state } = (await node.find(uid)) ?? {};
  return [state, definition?.ownershipEpoch, definition?.owner];
}

async function becomesOurs({ destination, vm }: TwoNodes): Promise<void> {
  await until('it belongs to its new node', async () => {
    await destination.agent.inventory.refresh(never);
    return destination.agent.ownership.isOwner(vm.uid);
  });
}

async function isNoted({ source, vm }: TwoNodes): Promise<void> {
  await until('its source has noted it', async () => {
    await source.agent.inventory.refresh(never);
    return source.agent.inventory.findByUid(vm.uid)?.reason === 'Migrated';
  });
}

/** The source refuses, however often it is asked. */
async function staysStray({ source, destination, vm }: TwoNodes): Promise<void> {
  await assert.rejects(
    source.agent.ownershipManager.handOver({ vmUid: vm.uid, ownershipEpoch: 1 }, 'b', never),
  );
  await destination.agent.inventory.refresh(never);
  const refused = 'after peer.handOver failed';
  await until('it is refused', () => destination.agent.life.steps.includes(refused));
  assert.ok(!destination.agent.ownership.isOwner(vm.uid));
  assert.ok(source.agent.ownership.isOwner(vm.uid));
}

for (const keepsSource of [true, false]) {
  test(`a VM that was moved by hand belongs to its new node (${keepsSource ? 'defined' : 'undefined'} at its source)`, async () => {
    using nodes = await openNodes();
    const { source, destination, spec, vm } = nodes;
    await moveByHand(nodes, keepsSource);
    await becomesOurs(nodes);
    const there = destination.hypervisor.hostUuid;
    assert.deepEqual(await factsAt(destination, vm.uid), ['running', 2, there]);
    const { conditions } = await destination.agent.vms.get(spec.vm, never);
    assert.ok(!conditions.some(({ type }) => type === 'StrayCopy'));
    const restarted = await source.ownership();
    assert.ok(restarted.isStale(vm), 'the next agent of the source knows it too');
    const start = source.agent.vms.start(spec.vm, never);
    if (keepsSource) {
      await assert.rejects(start, {
        reason: 'VM_NOT_OWNED',
        metadata: { vmId: vm.uid, owner: 'b' },
      });
    } else {
      await assert.rejects(start, { reason: 'VM_NOT_FOUND', message: /moved to node b/ });
    }
    const deletion = source.agent.vms.delete(spec.vm, { force: true }, never);
    await assert.rejects(deletion, { reason: 'VM_NOT_OWNED' });
    assert.equal(await destination.agent.vms.delete(spec.vm, { force: true }, never), 'deleted');
  });
}

for (const method of ['locate', 'handOver'] as const) {
  for (const loss of ['lostCalls', 'lostAnswers'] as const) {
    test(`a VM belongs to its new node once that has reached its old one (${loss} of ${method})`, async () => {
      using nodes = await openNodes();
      const { destination, vm } = nodes;
      destination.wire[loss].add(method);
      await moveByHand(nodes);
      const step = `after peer.${method} failed`;
      await until('it has tried in vain', async () => {
        await destination.agent.inventory.refresh(never);
        return destination.agent.life.steps.includes(step);
      });
      assert.ok(!destination.agent.ownership.isOwner(vm.uid));
      destination.wire[loss].delete(method);
      // The next agent does not wait before it tries again.
      destination.agent.life.kill();
      await until('the next agent lives', () => !destination.agent.life.killed);
      await becomesOurs(nodes);
      assert.deepEqual((await factsAt(destination, vm.uid)).slice(0, 2), ['running', 2]);
    });
  }
}

for (const victim of ['source', 'destination'] as const) {
  test(`a VM that was moved by hand belongs to one node, wherever the agent of its ${victim} is killed`, async () => {
    for (let step = 1, tookAll = false; !tookAll; step++) {
      using nodes = await openNodes();
      const { source, destination, vm } = nodes;
      await moveByHand(nodes);
      const { life } = nodes[victim].agent;
      life.killAt(step);
      const asked = destination.agent.inventory.refresh(never).catch(() => undefined);
      await Promise.race([asked, life.death.catch(() => undefined)]);
      await until('it belongs to its new node, or the agent is killed', async () => {
        return life.killed || destination.agent.ownership.isOwner(vm.uid);
      });
      tookAll = !life.killed;
      await until(
        'both agents live',
        () => ![source, destination].some((n) => n.agent.life.killed),
      );
      if (victim === 'source') destination.agent.life.kill();
      await until(
        'both agents live',
        () => ![source, destination].some((n) => n.agent.life.killed),
      );
      await becomesOurs(nodes);
      const there = destination.hypervisor.hostUuid;
      assert.deepEqual(await factsAt(destination, vm.uid), ['running', 2, there], `step ${step}`);
      assert.ok((await source.ownership()).isStale(vm), `step ${step}`);
      assert.ok((await destination.ownership()).isOwner(vm.uid), `step ${step}`);
    }
  });
}

test('a VM that runs at its source again is not handed over', async () => {
  // With a disk its lock would keep it from being started.
  using nodes = await openNodes({ volumes: [] });
  await moveByHand(nodes);
  nodes.source.agent.life.kill();
  await nodes.source.hypervisor.domains.start(nodes.vm.uid, never);
  await until('it lives', () => !nodes.source.agent.life.killed);
  await staysStray(nodes);
});

test('a VM that is off at its source, and nobody knows why, is not handed over', async () => {
  using nodes = await openNodes();
  const { source, vm } = nodes;
  source.hypervisor.keepsMigrated = true;
  await moveByHand(nodes);
  source.hypervisor.forgetWhyStopped();
  await assert.rejects(
    source.agent.ownershipManager.handOver({ vmUid: vm.uid, ownershipEpoch: 1 }, 'b', never),
    { reason: 'MIGRATION_BLOCKED', message: /stopped \(unknown\)/ },
  );
  assert.ok(source.agent.ownership.isOwner(vm.uid));
});

test('a VM is handed over to one node only', async () => {
  using nodes = await openNodes();
  const { source, vm } = nodes;
  await moveByHand(nodes);
  const { ownershipManager } = source.agent;
  const asked = { vmUid: vm.uid, ownershipEpoch: 1 };
  assert.equal(await ownershipManager.handOver(asked, 'b', never), 2);
  assert.equal(await ownershipManager.handOver(asked, 'b', never), 2);
  await assert.rejects(ownershipManager.handOver(asked, 'c', never), {
    reason: 'VM_NOT_OWNED',
    metadata: { vmId: vm.uid, owner: 'b' },
  });
});

test('another epoch, a VM that is unknown and one that was deleted are not handed over', async () => {
  using nodes = await openNodes();
  const { source, spec, vm } = nodes;
  const { ownershipManager, vms } = source.agent;
  const handOver = (vmUid: string, ownershipEpoch: number) =>
    ownershipManager.handOver({ vmUid, ownershipEpoch }, 'b', never);
  const refused = { reason: 'VM_NOT_OWNED' };
  await assert.rejects(handOver(vm.uid, 2), refused);
  await assert.rejects(handOver(randomUUID(), 1), refused);
  await vms.delete(spec.vm, { force: true }, never);
  await assert.rejects(handOver(vm.uid, 1), refused);
});

test('a copy that was only defined and started is not taken over', async () => {
  using nodes = await openNodes();
  const { source, destination, vm } = nodes;
  source.hypervisor.keepsMigrated = true;
  source.hypervisor.stopGuest(vm.uid, 'migrated');
  const copy = { ...vm, owner: source.hypervisor.hostUuid };
  await destination.hypervisor.domains.define(copy, never);
  await destination.hypervisor.domains.start(vm.uid, never);
  const { agent } = destination;
  for (let looks = 0; looks < 3; looks++) await agent.inventory.refresh(never);
  assert.ok(!agent.life.steps.some((step) => step.includes('peer.handOver')));
});

for (const keepsSource of [true, false]) {
  const left = keepsSource ? 'defined' : 'undefined';
  test(`a VM that was moved by hand and not asked for yet is not deleted at its source (${left} there)`, async () => {
    using nodes = await openNodes();
    const { source, destination, spec, vm } = nodes;
    destination.wire.lostCalls.add('handOver');
    await moveByHand(nodes, keepsSource);
    if (keepsSource) await isNoted(nodes);
    for (const uid of [undefined, vm.uid]) {
      const ref = { ...spec.vm, uid };
      const refused = { reason: 'VM_NOT_OWNED', metadata: { vmId: vm.uid, owner: 'b' } };
      await assert.rejects(source.agent.vms.delete(ref, { force: true }, never), refused);
      const asked = source.agent.vms.assertCanDelete(ref, { force: false }, never);
      await assert.rejects(asked, refused);
    }
    assert.ok(source.agent.ownership.isOwner(vm.uid), 'so that it can be handed over');
    assert.equal((await destination.find(vm.uid))?.state, 'running');
  });
}

test('what is gone from here is not called deleted while a node that may have it cannot be asked', async () => {
  using nodes = await openNodes();
  const { source, destination, spec, vm } = nodes;
  source.wire.lostCalls.add('locate');
  destination.wire.lostCalls.add('handOver');
  await moveByHand(nodes, false);
  const refused = { reason: 'PEER_UNREACHABLE', message: /node b cannot be asked/ };
  await assert.rejects(source.agent.vms.delete(spec.vm, { force: true }, never), refused);
  assert.ok(source.agent.ownership.isOwner(vm.uid), 'so that it can be handed over');
});

test('what libvirt says was migrated away is not deleted before its node can be asked', async () => {
  using nodes = await openNodes();
  const { source, spec, vm } = nodes;
  source.wire.lostCalls.add('locate');
  nodes.destination.wire.lostCalls.add('handOver');
  await moveByHand(nodes);
  await isNoted(nodes);
  await assert.rejects(source.agent.vms.delete(spec.vm, { force: true }, never), {
    reason: 'PEER_UNREACHABLE',
    message: /node b cannot be asked/,
  });
  assert.ok(source.agent.ownership.isOwner(vm.uid));
  source.wire.lostCalls.delete('locate');
  await nodes.destination.hypervisor.domains.destroy(vm.uid, never);
  await nodes.destination.hypervisor.domains.undefine(vm.uid, never);
  assert.equal(await source.agent.vms.delete(spec.vm, { force: true }, never), 'deleted');
});
