import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import type { Message } from '../../compatibility/version-1/recorded-api.ts';
import { type Phases, RecordedClient } from '../../compatibility/version-1/recorded-client.ts';
import { never } from '../../unit/agent/vms/one-node.ts';
import { ServedNode } from '../cli/served-node.ts';

/** A VM as a client of version 1 writes it. */
function vm(name: string, machine: Message = {}, labels: Message = { app: name }): Message {
  return {
    metadata: { name, labels },
    spec: {
      runStrategy: 'RUN_STRATEGY_MANUAL',
      template: {
        spec: {
          resources: { cpu: '1', memory: '64Mi' },
          kernel: { path: '/boot/vmlinuz' },
          ...machine,
        },
      },
    },
  };
}

/** Reads a watch until the VMs are in these phases. */
async function reaches(watch: ReturnType<RecordedClient['phases']>, wanted: Phases) {
  for (;;) {
    const { value } = await watch.next();
    assert.ok(value, 'The watch has ended');
    if (isDeepStrictEqual(value.phases, wanted)) return value;
  }
}

const ref = (name: string) => ({ ref: { name } });

test('a VM is made, changed by its generation and forgotten', async () => {
  await using served = await ServedNode.start();
  using client = new RecordedClient(served.socket);
  const made = await client.call('VirtualMachineService/CreateVirtualMachine', {
    virtualMachine: vm('web'),
  });
  assert.partialDeepStrictEqual(made, {
    virtualMachine: {
      metadata: { namespace: 'default', name: 'web', generation: 1, labels: { app: 'web' } },
      spec: { runStrategy: 'RUN_STRATEGY_MANUAL' },
      status: { phase: 'VIRTUAL_MACHINE_PHASE_STOPPED', observedGeneration: 1, nodeName: 'a' },
    },
  });
  const larger = vm('web', { resources: { cpu: '1', memory: '80Mi' } });
  const apply = { virtualMachine: larger, generation: 1 };
  const applied = await client.call('VirtualMachineService/ApplyVirtualMachine', apply);
  assert.partialDeepStrictEqual(applied, {
    outcome: 'APPLY_OUTCOME_CHANGED',
    changes: [{ field: 'spec.template.spec.resources.memory', before: '"64Mi"', after: '"80Mi"' }],
    virtualMachine: { metadata: { generation: 2 } },
  });
  await assert.rejects(client.call('VirtualMachineService/ApplyVirtualMachine', apply), {
    reason: 'GENERATION_MISMATCH',
  });
  await client.call('VirtualMachineService/ApplyVirtualMachine', {
    virtualMachine: vm('web', {}, { app: 'shop' }),
    updateMask: { paths: ['metadata.labels'] },
  });
  const got = await client.call('VirtualMachineService/GetVirtualMachine', ref('web'));
  assert.partialDeepStrictEqual(got, {
    virtualMachine: {
      metadata: { labels: { app: 'shop' } },
      spec: { template: { spec: { resources: { memory: '80Mi' } } } },
    },
  });
  for (const _again of [false, true]) {
    // Whether it was there is said in a field that version 1 does not know.
    assert.deepEqual(
      await client.call('VirtualMachineService/DeleteVirtualMachine', ref('web')),
      {},
    );
  }
  await assert.rejects(client.call('VirtualMachineService/GetVirtualMachine', ref('web')), {
    reason: 'VM_NOT_FOUND',
  });
});

test('VMs are listed by label and page by page', async () => {
  await using served = await ServedNode.start();
  using client = new RecordedClient(served.socket);
  for (const name of ['a', 'b', 'c', 'd']) {
    const labels = { tier: name === 'd' ? 'back' : 'front' };
    const virtualMachine = vm(name, {}, labels);
    await client.call('VirtualMachineService/CreateVirtualMachine', { virtualMachine });
  }
  assert.deepEqual(await client.list('tier=front', 2), { names: ['a', 'b', 'c'], pages: 2 });
  assert.deepEqual(await client.list('', 0), { names: ['a', 'b', 'c', 'd'], pages: 1 });
});

test('VMs are watched while they are started and stopped, and from a cursor on', async () => {
  await using served = await ServedNode.start();
  using client = new RecordedClient(served.socket);
  served.node.run();
  for (const name of ['web', 'db']) {
    const virtualMachine = vm(name);
    await client.call('VirtualMachineService/CreateVirtualMachine', { virtualMachine });
  }
  const watch = client.phases('app=web');
  await reaches(watch, { web: 'VIRTUAL_MACHINE_PHASE_STOPPED' });
  await client.call('VirtualMachineService/StartVirtualMachine', ref('web'));
  await reaches(watch, { web: 'VIRTUAL_MACHINE_PHASE_RUNNING' });
  await client.call('VirtualMachineService/ShutdownVirtualMachine', ref('web'));
  const stopped = await reaches(watch, { web: 'VIRTUAL_MACHINE_PHASE_STOPPED' });
  await watch.return(undefined);

  const virtualMachine = vm('web', {}, { app: 'shop' });
  await client.call('VirtualMachineService/ApplyVirtualMachine', { virtualMachine });
  const goesOn = client.phases('app=web', stopped);
  await reaches(goesOn, {});
  await goesOn.return(undefined);
  const anew = client.phases('app=web', { ...stopped, cursor: { agentEpoch: 1, revision: 1 } });
  await reaches(anew, {});
  await anew.return(undefined);
});

test('room is kept for a VM, used by it or given back', async () => {
  await using served = await ServedNode.start();
  using client = new RecordedClient(served.socket);
  await served.node.inventory.refresh(never);
  const machine = vm('web')['spec'].template.spec;
  const reserve = (name: string, id: string) =>
    client.call('NodeService/Reserve', { id, virtualMachine: { name }, machine });
  const [mine, other] = [randomUUID(), randomUUID()];
  const reserved = await reserve('web', mine);
  assert.partialDeepStrictEqual(reserved, { reservation: { id: mine } });
  assert.deepEqual(await reserve('web', mine), reserved);
  await reserve('db', other);
  await assert.rejects(reserve('late', randomUUID()), { reason: 'NODE_CAPACITY_EXCEEDED' });
  await client.call('VirtualMachineService/CreateVirtualMachine', {
    virtualMachine: vm('web'),
    reservationId: mine,
  });
  await client.call('NodeService/Release', { id: other });
  await client.call('NodeService/Release', { id: other });
  const { reservations } = await client.call('NodeService/ListReservations');
  assert.deepEqual(reservations, []);
});

test('a cordoned node takes no new VMs that would start', async () => {
  await using served = await ServedNode.start();
  using client = new RecordedClient(served.socket);
  const cordoned = await client.call('NodeService/UpdateNode', {
    spec: { cordon: true, cordonReason: 'new disks' },
    generation: 1,
  });
  assert.partialDeepStrictEqual(cordoned, { node: { spec: { cordon: true } } });
  const started = vm('web');
  const virtualMachine = {
    ...started,
    spec: { ...started['spec'], runStrategy: 'RUN_STRATEGY_ONCE' },
  };
  const create = () =>
    client.call('VirtualMachineService/CreateVirtualMachine', { virtualMachine });
  await assert.rejects(create(), { reason: 'NODE_CORDONED' });
  await client.call('NodeService/UpdateNode', {
    spec: { cordon: false },
    updateMask: { paths: ['cordon'] },
  });
  const { virtualMachine: made } = await create();
  assert.equal(made.status.phase, 'VIRTUAL_MACHINE_PHASE_RUNNING');
  assert.partialDeepStrictEqual(await client.call('NodeService/GetNode'), {
    node: { metadata: { name: 'a' }, spec: { cordon: false, cordonReason: 'new disks' } },
  });
});

test('what is wrong is refused by its field, with a reason that version 1 knows', async () => {
  await using served = await ServedNode.start();
  using client = new RecordedClient(served.socket);
  const virtualMachine = vm('web', { kernel: { path: 'vmlinuz' } });
  await assert.rejects(
    client.call('VirtualMachineService/CreateVirtualMachine', { virtualMachine }),
    { reason: 'INVALID_SPEC', message: /spec\.template\.spec\.kernel\.path/ },
  );
});
