import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BadRequest } from '../../../src/gen/google/rpc/error_details.ts';
import {
  AbortShutdownRequest,
  type AbortShutdownResponse,
  AcceptUnidentifiedVirtualMachinesRequest,
  type AcceptUnidentifiedVirtualMachinesResponse,
  ListReservationsRequest,
  type ListReservationsResponse,
  type ReleaseRequest,
  type ReleaseResponse,
  ReserveRequest,
  type ReserveResponse,
  ShutDownVirtualMachinesRequest,
  type ShutDownVirtualMachinesResponse,
  UpdateNodeRequest,
  type UpdateNodeResponse,
  VirtualMachineShutdownState,
  WatchNodeRequest,
} from '../../../src/gen/novacron/agent/v1/node.ts';
import {
  ListOperationsRequest,
  type ListOperationsResponse,
  OperationKind,
} from '../../../src/gen/novacron/agent/v1/operation.ts';
import { MIGRATION_ID as RESERVATION_ID } from '../../fakes/fake-migration-service.ts';
import { VM_UID } from '../../fakes/fake-vm-service.ts';
import { call, type Failure, failure, RpcHarness, until } from './rpc-harness.ts';

let harness: RpcHarness;
let local: ReturnType<RpcHarness['clients']>;

before(async () => {
  harness = await RpcHarness.start();
  local = harness.clients();
});
after(() => harness[Symbol.asyncDispose]());

const update = (request: Parameters<typeof UpdateNodeRequest.fromPartial>[0]) =>
  call<UpdateNodeRequest, UpdateNodeResponse>(
    (message, callback) => local.node.updateNode(message, callback),
    UpdateNodeRequest.fromPartial(request),
  );

const list = (request: Parameters<typeof ListOperationsRequest.fromPartial>[0]) =>
  call<ListOperationsRequest, ListOperationsResponse>(
    (message, callback) => local.operations.listOperations(message, callback),
    ListOperationsRequest.fromPartial(request),
  );

const reserve = (change: Parameters<typeof ReserveRequest.fromPartial>[0] = {}) =>
  call<ReserveRequest, ReserveResponse>(
    (message, callback) => local.node.reserve(message, callback),
    ReserveRequest.fromPartial({
      id: RESERVATION_ID,
      virtualMachine: { name: 'web' },
      machine: { resources: { cpu: '1500m', memory: '512Mi' } },
      ...change,
    }),
  );

const shutDown = (request: Parameters<typeof ShutDownVirtualMachinesRequest.fromPartial>[0]) =>
  call<ShutDownVirtualMachinesRequest, ShutDownVirtualMachinesResponse>(
    (message, callback) => local.node.shutDownVirtualMachines(message, callback),
    ShutDownVirtualMachinesRequest.fromPartial(request),
  );

const listReservations = (pageSize = 0) =>
  call<ListReservationsRequest, ListReservationsResponse>(
    (message, callback) => local.node.listReservations(message, callback),
    ListReservationsRequest.create({ pageSize }),
  );

function fieldsOf({ details }: Failure): string[] {
  const packed = details.find(({ typeUrl }) => typeUrl.endsWith('BadRequest'));
  const { fieldViolations } = BadRequest.decode(packed?.value ?? Buffer.of());
  return fieldViolations.map(({ field }) => field);
}

test('a node is cordoned, with the names of the proto or of JSON, and its watchers are told', async () => {
  const watch = local.node.watchNode(WatchNodeRequest.create());
  const cordons: unknown[] = [];
  watch.on('data', ({ node }) => cordons.push(node?.spec?.cordon));
  watch.on('error', () => undefined);
  await until(() => cordons.length === 3);

  const spec = { cordon: true, cordonReason: 'new memory' };
  assert.deepEqual((await update({ spec, generation: 1n })).node?.spec, spec);
  for (const updateMask of [['cordon_reason'], ['cordonReason']]) {
    const { node } = await update({ spec: { cordonReason: updateMask.join() }, updateMask });
    assert.deepEqual(node?.spec, { cordon: true, cordonReason: updateMask.join() });
  }
  await until(() => cordons.length === 6);
  assert.deepEqual(cordons, [undefined, false, undefined, true, true, true]);
  watch.cancel();
});

test('a change of a node is an operation, done once for its id, that says what was asked for and by whom', async () => {
  const operationId = RESERVATION_ID;
  const asked = { spec: { cordon: false, cordonReason: '' }, operationId };
  const { operation } = await update(asked);
  assert.equal(operation?.id, operationId);
  const { calls } = harness.node;
  const count = calls.length;
  const again = await update(asked);
  assert.equal(calls.length, count);
  assert.partialDeepStrictEqual(again.operation, {
    id: operationId,
    kind: OperationKind.OPERATION_KIND_UNCORDON,
    virtualMachine: undefined,
    requestedBy: 'unix:root',
    request: { spec: { cordon: false, cordonReason: '' } },
  });
  const other = await failure(update({ spec: { cordon: true }, operationId }));
  assert.equal(other.reason, 'OPERATION_ID_REUSED');
  const odd = await failure(update({ spec: {}, operationId: 'mine' }));
  assert.deepEqual(fieldsOf(odd), ['operationId']);
});

test('operations are chosen by namespace, or by VM, not by both', async () => {
  await update({ spec: { cordon: false } });
  assert.deepEqual((await list({ namespace: 'default' })).operations, []);
  assert.ok((await list({})).operations.length > 0);
  const both = await failure(list({ namespace: 'default', virtualMachine: { name: 'web' } }));
  assert.deepEqual(fieldsOf(both), ['namespace']);
  assert.deepEqual(fieldsOf(await failure(list({ namespace: 'No' }))), ['namespace']);
});

test('a change of a node is refused for another generation, and for a field that it has not', async () => {
  const stale = await failure(update({ spec: { cordon: false }, generation: 1n }));
  assert.equal(stale.reason, 'GENERATION_MISMATCH');
  const odd = await failure(update({ spec: {}, updateMask: ['taints'] }));
  assert.deepEqual(fieldsOf(odd), ['updateMask']);
  assert.deepEqual(fieldsOf(await failure(update({}))), ['spec']);
});

test('it is told who has the agent go on without knowing whose some VMs are', async () => {
  const response = await call<
    AcceptUnidentifiedVirtualMachinesRequest,
    AcceptUnidentifiedVirtualMachinesResponse
  >(
    (message, callback) => local.node.acceptUnidentifiedVirtualMachines(message, callback),
    AcceptUnidentifiedVirtualMachinesRequest.create(),
  );
  assert.deepEqual(harness.node.calls.at(-1), {
    method: 'acceptUnidentified',
    argument: 'unix:root',
  });
  assert.deepEqual(response.accepted, [{ hypervisorName: 'default_web', uid: VM_UID }]);
  assert.equal(response.node?.metadata?.name, 'node-a');
});

test('what is reserved is listed with its amounts until it is released', async () => {
  const { reservation } = await reserve({ ttl: { seconds: 10n, nanos: 0 } });
  assert.deepEqual(reservation?.amounts, { cpu: '1500m', memory: '600Mi' });
  assert.deepEqual(reservation.virtualMachine, { namespace: 'default', name: 'web', uid: '' });
  const asked = harness.node.calls.at(-1)?.argument as { ttlMs: number };
  assert.equal(asked.ttlMs, 10_000);
  const list = await listReservations(7);
  assert.deepEqual([list.reservations, list.nextPageToken], [[reservation], 'more']);
  assert.deepEqual(harness.node.calls.at(-1)?.argument, { size: 7, token: '' });
  assert.deepEqual(fieldsOf(await failure(listReservations(1_001))), ['pageSize']);
  await call<ReleaseRequest, ReleaseResponse>(
    (message, callback) => local.node.release(message, callback),
    { id: RESERVATION_ID },
  );
  assert.deepEqual((await listReservations()).reservations, []);
});

test('a reservation lasts a minute unless it says otherwise, and an hour at most', async () => {
  await reserve();
  const asked = harness.node.calls.at(-1)?.argument as { ttlMs: number };
  assert.equal(asked.ttlMs, 60_000);
  assert.deepEqual(fieldsOf(await failure(reserve({ ttl: { seconds: 3_601n, nanos: 0 } }))), [
    'ttl',
  ]);
  assert.deepEqual(fieldsOf(await failure(reserve({ ttl: { seconds: 0n, nanos: 1 } }))), ['ttl']);
});

test('a machine that could not be made cannot be reserved for', async () => {
  const odd = { resources: { cpu: '0', memory: 'much' }, kernel: { path: 'vmlinuz' } };
  const failed = await failure(reserve({ machine: odd }));
  assert.equal(failed.reason, 'INVALID_SPEC');
  assert.deepEqual(fieldsOf(failed).toSorted(), [
    'machine.kernel.path',
    'machine.resources.memory',
  ]);
  assert.deepEqual(fieldsOf(await failure(reserve({ id: 'r', machine: undefined }))).toSorted(), [
    'id',
    'machine',
  ]);
});

test('what the agent could not give a machine is refused, not left out of its reservation', async () => {
  const failed = await failure(
    reserve({
      machine: {
        resources: { cpu: '2', memory: '1Gi' },
        devices: [{ type: 'gpu' }],
      },
    }),
  );
  assert.equal(failed.reason, 'NOT_SUPPORTED');
  assert.deepEqual(fieldsOf(failed), ['machine.devices']);
});

test('who has the VMs powered off is recorded, and told how long guests have', async () => {
  const { shutdown, timeLeft } = await shutDown({ timeout: { seconds: 30n, nanos: 0 } });
  assert.deepEqual(harness.shutdown.calls.at(-1)?.argument, {
    timeoutMs: 30_000,
    dryRun: false,
    requestedBy: 'unix:root',
  });
  assert.deepEqual(
    shutdown?.virtualMachines.map(({ virtualMachine, state }) => [virtualMachine?.name, state]),
    [['web', VirtualMachineShutdownState.VIRTUAL_MACHINE_SHUTDOWN_STATE_WAITING_FOR_GUEST]],
  );
  assert.equal(shutdown.done, false);
  const left = Number(timeLeft?.seconds);
  assert.ok(left === 29 || left === 30, `${left} s`);
});

test('guests have a second at least and an hour at most, or what the node says', async () => {
  await shutDown({ dryRun: true });
  assert.deepEqual(harness.shutdown.calls.at(-1)?.argument, {
    timeoutMs: undefined,
    dryRun: true,
    requestedBy: 'unix:root',
  });
  for (const timeout of [
    { seconds: 0n, nanos: 1 },
    { seconds: 3_601n, nanos: 0 },
  ]) {
    assert.deepEqual(fieldsOf(await failure(shutDown({ timeout }))), ['timeout']);
  }
});

test('a shutdown is called off, and answered with the node', async () => {
  const { node } = await call<AbortShutdownRequest, AbortShutdownResponse>(
    (message, callback) => local.node.abortShutdown(message, callback),
    AbortShutdownRequest.create(),
  );
  assert.equal(node?.metadata?.name, 'node-a');
  assert.equal(harness.shutdown.calls.at(-1)?.method, 'abort');
});
