import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ownership } from '../../../../src/agent/vms/ownership.ts';
import { OwnershipStore } from '../../../../src/agent/vms/ownership-store.ts';
import { StaleCopyController } from '../../../../src/agent/vms/stale-copy-controller.ts';
import type { Answer } from '../../../../src/agent/vms/vm-locator.ts';
import type { VmPeer } from '../../../../src/agent/vms/vm-peers.ts';
import { KeyLocks } from '../../../../src/core/key-locks.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import type { HypervisorVm } from '../../../../src/drivers/hypervisor-domains.ts';
import { FakeHypervisor, fakeMigration } from '../../../fakes/fake-hypervisor.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const never = new AbortController().signal;
const OTHER_HOST = '00000000-0000-4000-8000-000000000001';

async function nodeWithRunningVm() {
  const hypervisor = new FakeHypervisor();
  const { domains } = hypervisor;
  const ownership = await Ownership.load(new OwnershipStore(new MemoryJournal().database));
  const locks = new KeyLocks();
  const vm = tinyVm();
  await ownership.own(vm);
  await domains.define(vm, never);
  await domains.start(vm.uid, never);
  const log = createLogger('silent');
  const answers: Answer[] = [];
  const locator = { ask: async () => answers };
  const controller = new StaleCopyController({ domains, ownership, locator, locks, log });
  const copies = {
    /** Has the controller do what it finds to be done in a listing. */
    async stop(listed: readonly HypervisorVm[]) {
      for (const domain of listed) {
        const { uid } = domain;
        const concern = controller.concern({ uid, domain, vm: undefined });
        if (concern !== undefined) await controller.reconcile(uid, never);
      }
    },
  };
  const stateOf = async () => (await domains.find(vm.uid, never))?.state;
  return { hypervisor, domains, ownership, locks, vm, copies, stateOf, answers };
}

test('a running copy of a VM that another node owns loses its power and keeps its definition', async () => {
  const { domains, ownership, vm, copies, stateOf } = await nodeWithRunningVm();
  await ownership.release(vm, vm.ownershipEpoch + 1, 'b');
  await copies.stop(await domains.list(never));
  assert.equal(await stateOf(), 'stopped');
  assert.ok(await domains.find(vm.uid, never));
});

test('a VM that this node owns is left alone', async () => {
  const { domains, copies, stateOf } = await nodeWithRunningVm();
  await copies.stop(await domains.list(never));
  assert.equal(await stateOf(), 'running');
});

test('a VM that has come back since it was listed is left alone', async () => {
  const { domains, ownership, vm, copies, stateOf } = await nodeWithRunningVm();
  await ownership.release(vm, vm.ownershipEpoch + 1, 'b');
  const listed = await domains.list(never);
  const returned = { ...vm, ownershipEpoch: vm.ownershipEpoch + 2 };
  await domains.setFacts(vm.uid, { ownershipEpoch: returned.ownershipEpoch }, never);
  await ownership.own(returned);
  await copies.stop(listed);
  assert.equal(await stateOf(), 'running');
});

test('a copy that a migration is about to settle is left to it', async () => {
  const { domains, ownership, locks, vm, copies, stateOf } = await nodeWithRunningVm();
  await ownership.release(vm, vm.ownershipEpoch + 1, 'b');
  using _migration = locks.tryAcquire(vm.uid, 'migration');
  await copies.stop(await domains.list(never));
  assert.equal(await stateOf(), 'running');
});

test("a copy that holds pages of the other node's guest is left alone", async () => {
  const { hypervisor, domains, ownership, vm, copies } = await nodeWithRunningVm();
  const destination = new FakeHypervisor();
  FakeHypervisor.connect(hypervisor, destination);
  hypervisor.switchoverEnd = 'pages-left';
  const request = fakeMigration(destination, { ownershipEpoch: vm.ownershipEpoch + 1 });
  await assert.rejects(hypervisor.jobs.migrate(vm.uid, request, never));
  await ownership.release(vm, vm.ownershipEpoch + 1, 'b');
  await copies.stop(await domains.list(never));
  const { state, stateReason } = (await domains.find(vm.uid, never)) ?? {};
  assert.deepEqual([state, stateReason], ['paused', 'postcopy-failed']);
});

const peer: VmPeer = {
  nodeName: 'b',
  locate: () => Promise.reject(new Error('not asked')),
  handOver: () => Promise.reject(new Error('not asked')),
};
const runsThere: Answer = { peer, presence: 'held', isOwner: true, isRunning: true };

/** A copy that was defined from the other host's definition, and started by hand. */
async function nodeWithStrayCopy() {
  const node = await nodeWithRunningVm();
  const { hypervisor, domains, ownership, vm } = node;
  await ownership.learnHost(hypervisor.host, never);
  await ownership.release(vm, vm.ownershipEpoch, 'b');
  await domains.setFacts(vm.uid, { owner: OTHER_HOST }, never);
  return node;
}

test('a copy that was started by hand while the VM runs at its owner loses its power', async () => {
  const { domains, copies, stateOf, answers } = await nodeWithStrayCopy();
  answers.push(runsThere);
  await copies.stop(await domains.list(never));
  assert.equal(await stateOf(), 'stopped');
});

test('a copy that was started by hand runs on where it may be the only one', async () => {
  for (const doubt of [
    { isRunning: false },
    { isOwner: false },
    { presence: 'unknown', isOwner: false, isRunning: false },
    undefined,
  ] as const) {
    const { domains, copies, stateOf, answers } = await nodeWithStrayCopy();
    if (doubt !== undefined) answers.push({ ...runsThere, ...doubt });
    await copies.stop(await domains.list(never));
    assert.equal(await stateOf(), 'running', JSON.stringify(doubt));
  }
});

test('a VM that was migrated here by hand is not taken for a second copy', async () => {
  const { hypervisor, domains, ownership, copies, vm, answers } = await nodeWithRunningVm();
  const other = new FakeHypervisor();
  FakeHypervisor.connect(hypervisor, other);
  await domains.destroy(vm.uid, never);
  await domains.undefine(vm.uid, never);
  await other.domains.define({ ...vm, owner: other.hostUuid }, never);
  await other.domains.start(vm.uid, never);
  await other.jobs.migrate(vm.uid, fakeMigration(hypervisor, {}), never);
  await ownership.learnHost(hypervisor.host, never);
  await ownership.restore(vm.uid, undefined);
  // It may be asked before it knows that the VM has left.
  answers.push(runsThere);
  await copies.stop(await domains.list(never));
  assert.equal((await domains.find(vm.uid, never))?.state, 'running');
});

test('a second copy does not escape by having been suspended and resumed', async () => {
  const { domains, copies, stateOf, answers, vm } = await nodeWithStrayCopy();
  await domains.suspend(vm.uid, never);
  await domains.resume(vm.uid, never);
  answers.push(runsThere);
  await copies.stop(await domains.list(never));
  assert.equal(await stateOf(), 'stopped');
});
