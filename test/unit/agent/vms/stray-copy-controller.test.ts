import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { Again } from '../../../../src/agent/reconcile/controller.ts';
import { Ownership } from '../../../../src/agent/vms/ownership.ts';
import { OwnershipStore } from '../../../../src/agent/vms/ownership-store.ts';
import { StrayCopyController } from '../../../../src/agent/vms/stray-copy-controller.ts';
import type { VmPeer } from '../../../../src/agent/vms/vm-peers.ts';
import { KeyLocks } from '../../../../src/core/key-locks.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import type { VmDefinition } from '../../../../src/core/vm-definition.ts';
import type { HypervisorVm } from '../../../../src/drivers/hypervisor-domains.ts';
import { FakeHypervisor, fakeMigration } from '../../../fakes/fake-hypervisor.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { never, OneNode } from './one-node.ts';

const OTHER_HOST = randomUUID();

/** A definition that came here by other means than the agent's. */
async function withCopy(facts: Partial<VmDefinition>) {
  const node = await OneNode.open();
  const { domains } = node.hypervisor;
  const vm = tinyVm({ intent: 'on', ownershipEpoch: 3, ...facts });
  await domains.define(vm, never);
  const ref = { namespace: vm.namespace, name: vm.name, uid: undefined };
  const stray = async () => {
    const { conditions } = await node.vms.get(ref, never);
    return conditions.find(({ type }) => type === 'StrayCopy')?.reason;
  };
  return { node, domains, vm, ref, stray };
}

test('a copy that another host owns is not started, says so and can be deleted', async () => {
  const { node, ref, vm, stray } = await withCopy({ owner: OTHER_HOST });
  await using _node = node;
  const { phase, reason } = await node.vms.get(ref, never);
  assert.deepEqual([phase, reason], ['failed', 'StrayCopy']);
  assert.equal(await stray(), 'OtherOwner');
  await assert.rejects(node.vms.start(ref, never), {
    reason: 'VM_NOT_OWNED',
    message: new RegExp(`host ${OTHER_HOST} owns it.*delete this definition`),
  });
  assert.ok(!node.hypervisor.calls.includes(`start ${vm.uid}`));
  await node.vms.delete(ref, { force: false }, never);
  assert.equal(await node.hypervisor.domains.find(vm.uid, never), undefined);
});

test('a VM that runs here although another host owns it is only reported', async () => {
  const { node, ref, vm, domains, stray } = await withCopy({ owner: OTHER_HOST });
  await using _node = node;
  await domains.start(vm.uid, never);
  node.run();
  assert.equal(await stray(), 'OtherOwner');
  assert.equal((await node.vms.get(ref, never)).phase, 'running');
  assert.ok(!node.hypervisor.calls.includes(`destroy ${vm.uid}`));
  assert.equal((await node.vms.shutdown(ref, never)).reason, 'StrayCopy');
});

test('a copy that names no owner, or this host, is started', async () => {
  for (const isNamed of [true, false]) {
    const { node, ref, vm, domains, stray } = await withCopy({});
    await using _node = node;
    const owner = isNamed ? node.hypervisor.hostUuid : '';
    await domains.setFacts(vm.uid, { owner }, never);
    // As its controller does of one that has moved, once nobody else has it.
    if (isNamed) await node.ownership.own(vm);
    assert.equal((await node.vms.start(ref, never)).phase, 'running');
    assert.equal(await stray(), undefined);
  }
});

test('what this node is known to own it owns also after its host was given another UUID', async () => {
  const { node, ref, vm, domains } = await withCopy({ owner: OTHER_HOST });
  await using _node = node;
  await node.ownership.own(vm);
  assert.equal((await node.vms.start(ref, never)).phase, 'running');
  await node.vms.destroy(ref, never);
  await domains.setFacts(vm.uid, { ownershipEpoch: vm.ownershipEpoch + 1 }, never);
  await assert.rejects(node.vms.start(ref, never), { reason: 'VM_NOT_OWNED' });
});

test('a copy of what has left this node is no less a stray one', async () => {
  const { node, ref, vm } = await withCopy({ owner: OTHER_HOST });
  await using _node = node;
  await node.ownership.release(vm, vm.ownershipEpoch, 'b');
  await assert.rejects(node.vms.start(ref, never), { reason: 'VM_NOT_OWNED' });
});

test('nothing is said of copies before it is known which host this is', async () => {
  const { node, ref } = await withCopy({ owner: OTHER_HOST });
  await using _node = node;
  node.hypervisor.fail('getInfo', new Error('not now'));
  await assert.rejects(node.vms.start(ref, never), { message: 'not now' });
  assert.equal((await node.vms.get(ref, never)).reason, 'StrayCopy');
});

/** A VM that virsh has migrated here, and an owner that answers as told. */
async function withMigratedCopy(handOver: VmPeer['handOver']) {
  const [source, hypervisor] = [new FakeHypervisor('source'), new FakeHypervisor('here')];
  FakeHypervisor.connect(source, hypervisor);
  const vm = tinyVm({ owner: source.hostUuid, ownershipEpoch: 3 });
  await source.domains.define(vm, never);
  await source.domains.start(vm.uid, never);
  await source.jobs.migrate(vm.uid, fakeMigration(hypervisor, {}), never);
  const ownership = await Ownership.load(new OwnershipStore(new MemoryJournal().database));
  await ownership.learnHost(hypervisor.host, never);
  const { domains } = hypervisor;
  let asked = 0;
  const controller = new StrayCopyController({
    domains,
    ownership,
    remains: { is: () => false },
    locks: new KeyLocks(),
    locator: {
      async ask() {
        asked += 1;
        const peer = { nodeName: 'b', locate: () => assert.fail(), handOver };
        return [{ peer, presence: 'held', isOwner: true, isRunning: false }];
      },
    },
    onChange: () => undefined,
    firstDelayMs: 60_000,
    log: createLogger('silent'),
  });
  /** Has the controller do what it finds to be done, and tells when it wants to look again. */
  const claim = async (changes: Partial<HypervisorVm> = {}) => {
    let again: Again | undefined;
    for (const found of await domains.list(never)) {
      const { uid } = found;
      const concern = controller.concern({ uid, domain: { ...found, ...changes }, vm: undefined });
      if (concern !== undefined) again = await controller.reconcile(uid, never);
    }
    return again;
  };
  return { vm, hypervisor, domains, ownership, claim, asked: () => asked };
}

test('an owner that answers with an epoch that makes no sense gives nothing away', async () => {
  for (const answer of [0, 3, 5, Number.NaN, 2 ** 60]) {
    const { vm, domains, ownership, claim } = await withMigratedCopy(async () => answer);
    await claim();
    assert.deepEqual((await domains.find(vm.uid, never))?.definition, vm);
    assert.equal(ownership.find(vm.uid), undefined);
  }
});

test('an owner that does not answer is asked again later, each time after twice as long', async () => {
  const failure = new Error('not now');
  const { claim } = await withMigratedCopy(async () => {
    throw failure;
  });
  assert.deepEqual(await claim(), { afterMs: 60_000, failure });
  assert.deepEqual(await claim(), { afterMs: 120_000, failure });
});

test('a copy that would vanish with its run is not asked for, nor one that was started here', async () => {
  const { claim, asked } = await withMigratedCopy(async () => 4);
  await claim({ persistent: false });
  await claim({ stateReason: 'booted' });
  await claim({ state: 'paused' });
  assert.equal(asked(), 0);
  await claim();
  assert.equal(asked(), 1);
});

test('what was handed over and could not be kept is asked for again', async () => {
  const { vm, hypervisor, domains, ownership, claim } = await withMigratedCopy(async () => 4);
  hypervisor.fail('setFacts', new Error('not now'));
  await claim();
  assert.ok(ownership.isStray((await domains.find(vm.uid, never))?.definition ?? vm));
  await claim({ state: 'stopped' });
  await claim();
  const { owner, ownershipEpoch } = (await domains.find(vm.uid, never))?.definition ?? {};
  assert.deepEqual([owner, ownershipEpoch], [hypervisor.hostUuid, 4]);
  assert.ok(ownership.isOwner(vm.uid));
});

test('a VM whose definition says that it is ours with a newer epoch is recorded as ours', async () => {
  const { vm, hypervisor, domains, ownership, claim } = await withMigratedCopy(async () => 4);
  await ownership.release(vm, 3, 'b');
  const facts = { owner: hypervisor.hostUuid, ownershipEpoch: 4 };
  await domains.setFacts(vm.uid, facts, never);
  await claim();
  assert.ok(ownership.isOwner(vm.uid));
});
