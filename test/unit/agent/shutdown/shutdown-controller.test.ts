import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestShutdowns } from '../../../../src/agent/shutdown/guest-shutdowns.ts';
import { ShutdownController } from '../../../../src/agent/shutdown/shutdown-controller.ts';
import { ShutdownMark } from '../../../../src/agent/shutdown/shutdown-mark.ts';
import { ShutdownStore } from '../../../../src/agent/shutdown/shutdown-store.ts';
import { FakeHypervisor } from '../../../fakes/fake-hypervisor.ts';
import { makeVm, VM_UID } from '../../../fakes/fake-vm-service.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { recordedLog } from '../../../fakes/recorded-log.ts';

const never = new AbortController().signal;

test('a guest that is still on after a while is asked again, and not before', async () => {
  using journal = new MemoryJournal();
  const store = new ShutdownStore(journal.database);
  const mark = await ShutdownMark.load({ store, bootId: 'boot' });
  await mark.begin(600_000, 'unix:root');
  const hypervisor = new FakeHypervisor();
  hypervisor.slowShutdown = true;
  const vm = makeVm('web');
  await hypervisor.domains.define(vm.definition, never);
  await hypervisor.domains.start(VM_UID, never);
  const controllerOf = (askAgainMs: number) =>
    new ShutdownController({
      mark,
      guests: new GuestShutdowns({ mark, listVms: () => [vm], countArriving: () => 0 }),
      domains: hypervisor.domains,
      inventory: { refresh: async () => {}, findByUid: () => vm },
      preStops: { isRunning: () => false, obstacleOf: () => '', forget: () => {} },
      cancelMigration: async () => {},
      turnAway: async () => {},
      onProgress: () => {},
      askAgainMs,
      log: recordedLog().log,
    });
  const asked = () => hypervisor.calls.filter((call) => call === `shutdown ${VM_UID}`).length;

  const patient = controllerOf(60_000);
  const first = await patient.reconcile(VM_UID, never);
  assert.deepEqual([first?.afterMs, asked()], [60_000, 1]);
  const second = await patient.reconcile(VM_UID, never);
  assert.ok((second?.afterMs ?? 0) > 50_000);
  assert.equal(asked(), 1);

  const impatient = controllerOf(0);
  await impatient.reconcile(VM_UID, never);
  await impatient.reconcile(VM_UID, never);
  assert.equal(asked(), 3);
});
