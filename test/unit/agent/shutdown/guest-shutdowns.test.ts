import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GuestShutdowns } from '../../../../src/agent/shutdown/guest-shutdowns.ts';
import type { Vm } from '../../../../src/agent/vms/vm.ts';
import { makeVm } from '../../../fakes/fake-vm-service.ts';

const RECORD = {
  bootId: 'boot',
  requestedBy: 'unix:root',
  startedAtMs: 1_000,
  deadlineMs: 61_000,
  beganBootMs: 0,
  deadlineBootMs: 60_000,
};

/** A node that is being shut down, as a test has it. */
class Node {
  leftMs = 60_000;
  vms: readonly Vm[] | undefined = [makeVm('web')];
  arriving = 0;
  readonly guests = new GuestShutdowns({
    mark: Object.defineProperty({ record: RECORD, leftMs: 0 }, 'leftMs', {
      get: () => this.leftMs,
    }),
    listVms: () => this.vms,
    countArriving: () => this.arriving,
  });

  get states(): readonly (string | undefined)[] {
    const report = this.guests.report();
    return [...(report?.guests.map(({ state }) => state) ?? []), report?.isDone ? 'done' : ''];
  }
}

test('before the VMs were listed nothing is done, whatever is known of them', () => {
  const node = new Node();
  node.guests.note(makeVm('web'));
  node.vms = undefined;
  assert.deepEqual(node.states, ['waiting-for-guest', '']);
});

test('what was listed before it began does not count', () => {
  const node = new Node();
  node.vms = [];
  node.guests.begin();
  assert.deepEqual(node.states, ['']);
  node.guests.noteListed();
  assert.deepEqual(node.states, ['done']);
});

test('a VM whose power cannot be cut has failed after a while, and is off when it is', () => {
  const node = new Node();
  assert.deepEqual(node.states, ['waiting-for-guest', '']);
  node.leftMs = 0;
  assert.deepEqual(node.states, ['cutting-power', '']);
  node.leftMs = -20_001;
  node.guests.noteObstacle(makeVm('web').definition.uid, 'libvirt has not answered in time');
  assert.deepEqual(node.states, ['failed', 'done']);
  assert.equal(node.guests.report()?.guests[0]?.message, 'libvirt has not answered in time');
  node.guests.noteCut(makeVm('web').definition.uid);
  node.vms = [makeVm('web', { phase: 'stopped' })];
  assert.deepEqual(node.states, ['power-cut', 'done']);
  assert.equal(node.guests.report()?.guests[0]?.message, '');
});

test('one that nobody can describe counts as on, one that is gone as gone', () => {
  const node = new Node();
  node.vms = [makeVm('web', { phase: 'unknown', message: 'The hypervisor cannot be asked' })];
  assert.deepEqual(node.states, ['waiting-for-guest', '']);
  assert.equal(node.guests.report()?.guests[0]?.message, 'The hypervisor cannot be asked');
  node.vms = [makeVm('web', { phase: 'migrating', reason: 'Leaving' })];
  assert.deepEqual(node.states, ['gone', 'done']);
  node.vms = [];
  assert.deepEqual(node.states, ['gone', 'done']);
});

test('while VMs are arriving it is not done', () => {
  const node = new Node();
  node.vms = [];
  node.arriving = 1;
  assert.deepEqual(node.states, ['']);
});

test('VMs are told by namespace and name', () => {
  const node = new Node();
  node.vms = ['b', 'a'].map((name) => makeVm(name, {}, { uid: `uid of ${name}` }));
  assert.deepEqual(
    node.guests.report()?.guests.map(({ vm }) => vm.name),
    ['a', 'b'],
  );
});
