import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ownership } from '../../../../src/agent/vms/ownership.ts';
import { OwnershipStore } from '../../../../src/agent/vms/ownership-store.ts';
import { StaleCopyController } from '../../../../src/agent/vms/stale-copy-controller.ts';
import { KeyLocks } from '../../../../src/core/key-locks.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import type { HypervisorVm } from '../../../../src/drivers/hypervisor-domains.ts';
import { FakeHypervisor, fakeMigration } from '../../../fakes/fake-hypervisor.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const never = new AbortController().signal;

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
  const controller = new StaleCopyController({ domains, ownership, locks, log });
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
  return { hypervisor, domains, ownership, locks, vm, copies, stateOf };
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
