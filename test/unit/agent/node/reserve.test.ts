import assert from 'node:assert/strict';
import { test } from 'node:test';
import { amountsOf } from '../../../../src/agent/node/amounts.ts';
import type { ReserveRequest } from '../../../../src/agent/node/node.ts';
import { Surroundings } from './surroundings.ts';
import { definitionOf, machineOf, vmOf } from './vms-of-a-node.ts';

const FOR_WEB: ReserveRequest = {
  id: 'r-1',
  vm: { namespace: 'test', name: 'web', uid: undefined },
  machine: machineOf('4Gi'),
  ttlMs: 60_000,
};

test('what is reserved is given away, and free again when it is released', async () => {
  await using surroundings = await Surroundings.open();
  const reservation = await surroundings.manager.reserve(FOR_WEB);
  assert.deepEqual(reservation.amounts, amountsOf(machineOf('4Gi')));
  assert.deepEqual((await surroundings.get()).allocated, reservation.amounts);
  const { items } = await surroundings.manager.listReservations({ size: 0, token: '' });
  assert.deepEqual(items, [reservation]);
  await surroundings.manager.release('r-1');
  await surroundings.manager.release('r-1');
  assert.deepEqual((await surroundings.get()).allocated, {});
});

test('reservations are listed a page at a time, also while some of them end', async () => {
  await using surroundings = await Surroundings.open();
  const { manager } = surroundings;
  for (const id of ['r-3', 'r-1', 'r-2']) {
    await manager.reserve({
      ...FOR_WEB,
      id,
      vm: { ...FOR_WEB.vm, name: id },
      machine: machineOf('64Mi'),
    });
  }
  const first = await manager.listReservations({ size: 1, token: '' });
  assert.deepEqual(
    first.items.map(({ id }) => id),
    ['r-1'],
  );
  await manager.release('r-1');
  const second = await manager.listReservations({ size: 1, token: first.nextToken });
  assert.deepEqual(
    second.items.map(({ id }) => id),
    ['r-2'],
  );
  const last = await manager.listReservations({ size: 2, token: second.nextToken });
  assert.deepEqual([last.items.map(({ id }) => id), last.nextToken], [['r-3'], '']);
});

test('no more is reserved than there is', async () => {
  await using surroundings = await Surroundings.open();
  const { manager } = surroundings;
  surroundings.vms = [vmOf(definitionOf(machineOf('8Gi')), 'running')];
  await manager.reserve(FOR_WEB);
  const second = { ...FOR_WEB, id: 'r-2', vm: { ...FOR_WEB.vm, name: 'db' } };
  await assert.rejects(manager.reserve(second), { reason: 'NODE_CAPACITY_EXCEEDED' });
  // The same again asks for no more.
  await manager.reserve(FOR_WEB);
});

test('a cordoned node reserves nothing more, and still knows what it has reserved', async () => {
  await using surroundings = await Surroundings.open();
  const { manager } = surroundings;
  const reservation = await manager.reserve(FOR_WEB);
  await surroundings.cordon.update({ cordon: true }, undefined);
  assert.deepEqual(await manager.reserve(FOR_WEB), reservation);
  await manager.release('r-1');
  await assert.rejects(manager.reserve(FOR_WEB), { reason: 'NODE_CORDONED' });
});

test('nothing is reserved before it is known what VMs there are', async () => {
  await using surroundings = await Surroundings.open();
  surroundings.vms = undefined;
  await assert.rejects(surroundings.manager.reserve(FOR_WEB), { reason: 'STATE_NOT_READY' });
});

test('nothing is reserved for a VM that is here, or on its way', async () => {
  await using surroundings = await Surroundings.open();
  const { manager, ledger } = surroundings;
  const web = definitionOf(machineOf('1Gi'), { name: 'web' });
  surroundings.vms = [vmOf(web, 'stopped')];
  await assert.rejects(manager.reserve(FOR_WEB), { reason: 'VM_ALREADY_EXISTS' });
  const renamed = { ...FOR_WEB, vm: { namespace: 'test', name: 'db', uid: web.uid } };
  await assert.rejects(manager.reserve(renamed), { reason: 'VM_ALREADY_EXISTS' });
  surroundings.vms = [];
  using _amount = ledger.setAside(web, { reservationId: undefined, isOn: true });
  await assert.rejects(manager.reserve(FOR_WEB), { reason: 'VM_BUSY' });
});

test('a name is reserved for one VM at a time', async () => {
  await using surroundings = await Surroundings.open();
  await surroundings.manager.reserve(FOR_WEB);
  await assert.rejects(surroundings.manager.reserve({ ...FOR_WEB, id: 'r-2' }), {
    reason: 'VM_BUSY',
  });
});
