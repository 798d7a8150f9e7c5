import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Encoded } from '../../../../src/agent/rpc/encoded.ts';
import { EncodedVms } from '../../../../src/agent/rpc/encoded-vms.ts';
import { toVirtualMachine } from '../../../../src/agent/rpc/virtual-machine-conversion.ts';
import type { Vm } from '../../../../src/agent/vms/vm.ts';
import { WatchEventType } from '../../../../src/gen/novacron/agent/v1/common.ts';
import {
  GetVirtualMachineResponse,
  ListVirtualMachinesResponse,
  WatchVirtualMachinesResponse,
} from '../../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { makeVm, ORIGIN } from '../../../fakes/fake-vm-service.ts';

const web = makeVm('web');
const db = makeVm('db', {}, { labels: { tier: 'data' } });

/** As a client has it that has read the message. */
function read(vm: Vm) {
  const { virtualMachine } = GetVirtualMachineResponse.decode(new EncodedVms().get(vm).bytes);
  return virtualMachine;
}

test('a VM travels as its conversion says', () => {
  const sent = { virtualMachine: toVirtualMachine(db) };
  const bytes = GetVirtualMachineResponse.encode(sent).finish();
  assert.deepEqual(new EncodedVms().get(db).bytes, bytes);
});

test('a list has its VMs in order, its origin and its next page', () => {
  const page = { items: [web, db], nextToken: 'more', origin: ORIGIN };
  const list = ListVirtualMachinesResponse.decode(new EncodedVms().list(page).bytes);
  assert.deepEqual(list.virtualMachines, [read(web), read(db)]);
  assert.equal(list.nextPageToken, 'more');
  assert.equal(list.origin?.revision, BigInt(ORIGIN.revision));
});

test('an event has its kind, its VM and where that has gone', () => {
  const event = { type: 'deleted', object: web, origin: ORIGIN, movedToNode: 'b' } as const;
  const told = WatchVirtualMachinesResponse.decode(new EncodedVms().event(event).bytes);
  assert.equal(told.type, WatchEventType.WATCH_EVENT_TYPE_DELETED);
  assert.deepEqual(told.virtualMachine, read(web));
  assert.equal(told.movedToNode, 'b');
  const synced = new EncodedVms().event({ type: 'synced', origin: ORIGIN });
  assert.equal(WatchVirtualMachinesResponse.decode(synced.bytes).virtualMachine, undefined);
});

test('a VM is converted once, whoever asks for it and however', () => {
  let conversions = 0;
  const counted = new Proxy(web, {
    get(vm, name) {
      if (name === 'phase') conversions += 1;
      return Reflect.get(vm, name) as unknown;
    },
  });
  const encoded = new EncodedVms();
  const first = encoded.get(counted);
  const before = conversions;
  assert.ok(before > 0);
  encoded.list({ items: [counted], nextToken: '', origin: ORIGIN });
  assert.deepEqual(encoded.get(counted), first);
  assert.ok(first instanceof Encoded);
  assert.equal(conversions, before);
});

test('a list of what has not changed since the last one is not put together again', () => {
  const encoded = new EncodedVms();
  const page = { items: [web, db], nextToken: '', origin: ORIGIN };
  const first = encoded.list(page);
  assert.equal(encoded.list({ ...page, items: [web, db], origin: { ...ORIGIN } }), first);
  const others = [
    { ...page, items: [web] },
    { ...page, items: [db, web] },
    { ...page, items: [web, makeVm('db')] },
    { ...page, nextToken: 'more' },
    { ...page, origin: { ...ORIGIN, revision: ORIGIN.revision + 1 } },
  ];
  for (const other of others) {
    const list = encoded.list(other);
    assert.notEqual(list, first);
    assert.deepEqual(list.bytes, new EncodedVms().list(other).bytes);
  }
});

test('after lists of two megabytes their buffers are collected', () => {
  let collections = 0;
  const encoded = new EncodedVms({ collectYoung: () => void (collections += 1) });
  const items = Array.from({ length: 500 }, (_, at) => makeVm(`vm-${at}`));
  const page = { items, nextToken: '', origin: ORIGIN };
  const { length } = encoded.list(page).bytes;
  const most = Math.floor((2 * 1024 ** 2) / length);
  for (let round = 1; round < most; round += 1) encoded.list(page);
  assert.equal(collections, 0);
  encoded.list(page);
  assert.equal(collections, 1);
});

test('a list that nobody asks for again is forgotten', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const encoded = new EncodedVms();
  const page = { items: [web], nextToken: '', origin: ORIGIN };
  const first = encoded.list(page);
  for (let round = 0; round < 3; round += 1) {
    context.mock.timers.tick(1_500);
    assert.equal(encoded.list(page), first);
  }
  context.mock.timers.tick(2_000);
  assert.notEqual(encoded.list(page), first);
});
