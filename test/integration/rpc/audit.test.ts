import assert from 'node:assert/strict';
import path from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { type Client, status as Code, type ServiceError } from '@grpc/grpc-js';
import { METHOD_RULES } from '../../../src/agent/rpc/authorization.ts';
import { AgentError } from '../../../src/core/errors.ts';
import * as consoles from '../../../src/gen/novacron/agent/v1/console.ts';
import * as guests from '../../../src/gen/novacron/agent/v1/guest.ts';
import * as images from '../../../src/gen/novacron/agent/v1/image.ts';
import * as migrations from '../../../src/gen/novacron/agent/v1/migration.ts';
import * as nodes from '../../../src/gen/novacron/agent/v1/node.ts';
import * as operations from '../../../src/gen/novacron/agent/v1/operation.ts';
import * as vms from '../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import * as peers from '../../../src/gen/novacron/peer/v1/peer.ts';
import { MIGRATION_ID } from '../../fakes/fake-migration-service.ts';
import { VM_UID } from '../../fakes/fake-vm-service.ts';
import { type Failure, RpcHarness, readFailure, until } from './rpc-harness.ts';

/** Nothing else is logged, and the audit lines are there all the same. */
const LEVEL = 'silent';

let harness: RpcHarness;
before(async () => {
  harness = await RpcHarness.start(LEVEL);
});
after(() => harness[Symbol.asyncDispose]());
beforeEach(() => {
  harness.logLines.length = 0;
});

const machine = { resources: { cpu: '1', memory: '1Gi' }, kernel: { path: '/boot/vmlinuz' } };
const virtualMachine = { metadata: { name: 'web' }, spec: { template: { spec: machine } } };
const ref = { name: 'web', uid: VM_UID };
const vm = { vm: 'default/web', vmId: VM_UID };
const destination = { nodeName: 'node-b', address: '10.0.0.2:7443' };

/** A request, and what the audit log must say of it. */
interface Change {
  readonly request: Uint8Array;
  readonly what: Readonly<Record<string, unknown>>;
}

function change<Message>(
  type: {
    fromPartial(fields: never): Message;
    encode(message: Message): { finish(): Uint8Array };
  },
  fields: object,
  what: Change['what'],
): Change {
  return { request: type.encode(type.fromPartial(fields as never)).finish(), what };
}

const DIGEST = `sha256:${'ab'.repeat(32)}`;
const OPERATION_ID = '3d3d9f60-6d1b-4b5e-9a7e-0c7f5e7f3b11';

/** One for each call that changes something. */
const CHANGES: Readonly<Record<string, Change>> = {
  CreateVirtualMachine: change(
    vms.CreateVirtualMachineRequest,
    { virtualMachine },
    { vm: 'default/web' },
  ),
  ApplyVirtualMachine: change(
    vms.ApplyVirtualMachineRequest,
    { virtualMachine },
    { vm: 'default/web' },
  ),
  AdoptVirtualMachine: change(
    vms.AdoptVirtualMachineRequest,
    { domain: 'Shop 1', name: 'web' },
    { vm: 'default/web', domain: 'Shop 1' },
  ),
  StartVirtualMachine: change(vms.StartVirtualMachineRequest, { ref }, vm),
  ShutdownVirtualMachine: change(vms.ShutdownVirtualMachineRequest, { ref }, vm),
  DestroyVirtualMachine: change(vms.DestroyVirtualMachineRequest, { ref }, vm),
  SuspendVirtualMachine: change(vms.SuspendVirtualMachineRequest, { ref }, vm),
  ResumeVirtualMachine: change(vms.ResumeVirtualMachineRequest, { ref }, vm),
  ResetVirtualMachine: change(vms.ResetVirtualMachineRequest, { ref }, vm),
  RebootVirtualMachine: change(vms.RebootVirtualMachineRequest, { ref }, vm),
  RestartVirtualMachine: change(
    vms.RestartVirtualMachineRequest,
    // Its guest never goes off, so that it is not waited for.
    { ref, force: true, operationId: OPERATION_ID },
    { ...vm, force: 1, operationId: OPERATION_ID },
  ),
  EjectMedium: change(vms.EjectMediumRequest, { ref, volume: 'cd' }, { ...vm, volume: 'cd' }),
  InsertMedium: change(
    vms.InsertMediumRequest,
    { ref, volume: 'cd', path: '/var/lib/libvirt/images/a.iso' },
    { ...vm, volume: 'cd', path: '/var/lib/libvirt/images/a.iso' },
  ),
  DeleteVirtualMachine: change(
    vms.DeleteVirtualMachineRequest,
    { ref, force: true },
    { ...vm, force: 1 },
  ),
  OpenConsole: change(
    consoles.OpenConsoleRequest,
    { request: { $case: 'start', value: { ref, mode: 3 } } },
    { ...vm, mode: 'take-over' },
  ),
  OpenDisplay: change(consoles.OpenDisplayRequest, { request: { $case: 'ref', value: ref } }, vm),
  SendKeys: change(
    consoles.SendKeysRequest,
    { ref, keys: ['ctrl', 'alt', 'delete'] },
    { ...vm, keys: 3 },
  ),
  RunGuestCommand: change(
    guests.RunGuestCommandRequest,
    { ref, program: 'tool', args: ['--all'] },
    { ...vm, command: '["tool","--all"]', pid: 4_711 },
  ),
  SetGuestPassword: change(
    guests.SetGuestPasswordRequest,
    { ref, user: 'root', password: 'secret' },
    { ...vm, user: 'root' },
  ),
  FreezeGuest: change(guests.FreezeGuestRequest, { ref }, { ...vm, timeoutMs: 60_000 }),
  ThawGuest: change(guests.ThawGuestRequest, { ref, force: true }, { ...vm, force: 1 }),
  SyncGuestTime: change(guests.SyncGuestTimeRequest, { ref }, vm),
  StartMigration: change(
    migrations.StartMigrationRequest,
    { id: MIGRATION_ID, spec: { virtualMachine: ref, destination, trustShared: ['root', 'data'] } },
    {
      ...vm,
      migrationId: MIGRATION_ID,
      peer: 'node-b',
      address: destination.address,
      trustShared: 'root,data',
    },
  ),
  CancelMigration: change(
    migrations.CancelMigrationRequest,
    { id: MIGRATION_ID },
    { migrationId: MIGRATION_ID },
  ),
  SettleMigration: change(
    migrations.SettleMigrationRequest,
    { id: MIGRATION_ID, offNode: 'node-b' },
    { migrationId: MIGRATION_ID, peer: 'node-b' },
  ),
  CancelOperation: change(
    operations.CancelOperationRequest,
    { id: MIGRATION_ID },
    { operationId: MIGRATION_ID },
  ),
  UpdateNode: change(
    nodes.UpdateNodeRequest,
    { spec: { cordon: true, cordonReason: 'memory' } },
    { change: '{"cordon":true,"cordonReason":"memory"}' },
  ),
  AcceptUnidentifiedVirtualMachines: change(nodes.AcceptUnidentifiedVirtualMachinesRequest, {}, {}),
  ShutDownVirtualMachines: change(
    nodes.ShutDownVirtualMachinesRequest,
    { timeout: { seconds: 60n } },
    { timeoutMs: 60_000 },
  ),
  AbortShutdown: change(nodes.AbortShutdownRequest, {}, {}),
  RemoveImage: change(images.RemoveImageRequest, { digest: DIGEST }, { image: DIGEST }),
  VerifyImage: change(images.VerifyImageRequest, { digest: DIGEST }, { image: DIGEST }),
  Reserve: change(
    nodes.ReserveRequest,
    { id: MIGRATION_ID, virtualMachine: ref, machine },
    { ...vm, reservationId: MIGRATION_ID },
  ),
  Release: change(nodes.ReleaseRequest, { id: MIGRATION_ID }, { reservationId: MIGRATION_ID }),
  PrepareIncoming: change(peers.PrepareIncomingRequest, {}, {}),
  ReleaseIncoming: change(
    peers.ReleaseIncomingRequest,
    { migrationId: MIGRATION_ID, virtualMachineUid: VM_UID, outcome: 2 },
    { migrationId: MIGRATION_ID, vmId: VM_UID },
  ),
  HandOverVirtualMachine: change(
    peers.HandOverVirtualMachineRequest,
    { virtualMachineUid: VM_UID, ownershipEpoch: 3n },
    { vmId: VM_UID, peer: 'node-z' },
  ),
};

const same = (message: Buffer) => message;

/** Calls a method and gives why it failed; undefined if it begins to answer. */
async function attempt(client: Client, method: string, request: Uint8Array = Buffer.of()) {
  const { promise, resolve } = Promise.withResolvers<Failure | undefined>();
  const options = { deadline: Date.now() + 60_000 };
  // A stream call reads unary answers as well as streams.
  const attempted = client.makeServerStreamRequest(
    method,
    same,
    same,
    Buffer.from(request),
    options,
  );
  attempted.on('data', () => resolve(undefined));
  attempted.on('end', () => resolve(undefined));
  attempted.on('error', (error: ServiceError) => resolve(readFailure(error)));
  const result = await promise;
  attempted.cancel();
  return result;
}

async function audited(): Promise<Readonly<Record<string, unknown>>> {
  await until(() => harness.logLines.length > 0);
  assert.equal(harness.logLines.length, 1, JSON.stringify(harness.logLines));
  const [line = {}] = harness.logLines;
  harness.logLines.length = 0;
  return line;
}

/** One for each call that reads what is a guest's own. */
const READS: typeof CHANGES = {
  GetConsoleLog: change(vms.GetConsoleLogRequest, { ref, follow: true }, vm),
  GetScreenshot: change(consoles.GetScreenshotRequest, { ref }, vm),
};

const changing = Object.entries(METHOD_RULES).filter(([, { changes }]) => changes);

test('there is a request for each call that changes something', () => {
  assert.deepEqual(
    Object.keys(CHANGES).toSorted(),
    changing.map(([method]) => path.basename(method)).toSorted(),
  );
});

test('who has changed what, when and with which outcome stands in the log at every level', async () => {
  const [operator, peer] = [await harness.asRole('operator'), await harness.asPeer('node-z')];
  for (const [method, { roles }] of changing) {
    const { request, what } = CHANGES[path.basename(method)] ?? assert.fail(method);
    const isPeers = roles.includes('peer');
    const failed = await attempt((isPeers ? peer : operator).raw, method, request);
    const line = await audited();
    assert.partialDeepStrictEqual(
      line,
      {
        audit: true,
        msg: 'Change requested',
        method,
        role: isPeers ? 'peer' : 'operator',
        caller: isPeers ? 'spiffe://novacron/node/node-z' : 'spiffe://novacron/role/operator',
        outcome: failed?.reason ?? 'OK',
        ...what,
      },
      method,
    );
    assert.match(String(line['requestId']), /^[0-9a-f-]{36}$/);
    assert.ok(Date.now() - Number(line['time']) < 60_000, method);
    // So that `what` is not what a request has that was not even read.
    if (method !== '/novacron.peer.v1.PeerService/PrepareIncoming') {
      assert.notEqual(failed?.reason, 'INVALID_REQUEST', `${method}: ${failed?.message}`);
    }
  }
});

test('who has read the secrets of which guest stands in the log at every level, once and from the first byte on', async () => {
  const reading = Object.keys(METHOD_RULES).filter((method) => path.basename(method) in READS);
  assert.deepEqual(
    reading,
    Object.entries(METHOD_RULES)
      .filter(([, { roles, changes }]) => !changes && !roles.includes('viewer'))
      .filter(([, { roles }]) => !roles.includes('peer'))
      .map(([method]) => method)
      // It reads no secret, and is asked once a second.
      .filter((method) => path.basename(method) !== 'PullImage'),
  );
  const { raw } = await harness.asRole('operator');
  for (const method of reading) {
    const { request, what } = READS[path.basename(method)] ?? assert.fail(method);
    for (const [failure, outcome] of [
      [undefined, 'OK'],
      [new AgentError('VM_NOT_FOUND', 'No such VM'), 'VM_NOT_FOUND'],
    ] as const) {
      harness.vms.console = () => {
        if (failure !== undefined) throw failure;
        return [Buffer.from('login: '), Buffer.from('Password: ')];
      };
      harness.consoles.failure = failure;
      await attempt(raw, method, request);
      assert.partialDeepStrictEqual(await audited(), {
        audit: true,
        msg: 'Secrets read',
        method,
        role: 'operator',
        caller: 'spiffe://novacron/role/operator',
        outcome,
        ...what,
      });
    }
  }
});

test('whoever is refused by role stands in the log at every level', async () => {
  for (const role of ['controller', 'operator', 'viewer', 'peer'] as const) {
    const { raw } = role === 'peer' ? await harness.asPeer('node-b') : await harness.asRole(role);
    const identity = role === 'peer' ? 'node/node-b' : `role/${role}`;
    for (const [method, { roles }] of Object.entries(METHOD_RULES)) {
      if (roles.includes(role)) continue;
      const failed = await attempt(raw, method);
      assert.equal(failed?.reason, 'PERMISSION_DENIED');
      assert.match(failed.message, new RegExp(`that needs the role ${roles.join(' or ')}`));
      const { err: _, ...line } = await audited();
      assert.partialDeepStrictEqual(line, {
        audit: true,
        msg: 'Call refused',
        method,
        role,
        caller: `spiffe://novacron/${identity}`,
        outcome: 'PERMISSION_DENIED',
      });
    }
  }
});

test('whoever is nobody stands in the log at every level', async () => {
  const { raw } = harness.clients(await harness.identity('spiffe://elsewhere/role/operator'));
  assert.equal(
    (await attempt(raw, '/novacron.agent.v1.NodeService/GetNode'))?.code,
    Code.UNAUTHENTICATED,
  );
  assert.partialDeepStrictEqual(await audited(), {
    audit: true,
    role: 'none',
    outcome: 'UNAUTHENTICATED',
  });
});

const plan = (where: object) =>
  change(migrations.PlanMigrationRequest, { spec: { virtualMachine: ref, destination: where } }, {})
    .request;

test('a viewer plans to nodes that are configured, and has no address connected to', async () => {
  const method = '/novacron.agent.v1.MigrationService/PlanMigration';
  const viewer = await harness.asRole('viewer');
  const configured = { nodeName: 'node-b' };
  assert.equal(await attempt(viewer.raw, method, plan(configured)), undefined);
  const planned = harness.migrations.calls.length;

  const failed = await attempt(viewer.raw, method, plan(destination));
  assert.equal(failed?.code, Code.PERMISSION_DENIED);
  assert.match(failed.message, /needs the role controller or operator.*configuration's "peers"/);
  assert.equal(harness.migrations.calls.length, planned);
  assert.partialDeepStrictEqual(await audited(), {
    audit: true,
    msg: 'Call refused',
    caller: 'spiffe://novacron/role/viewer',
    method,
    address: destination.address,
    outcome: 'PERMISSION_DENIED',
  });
  for (const role of ['controller', 'operator'] as const) {
    assert.equal(
      await attempt((await harness.asRole(role)).raw, method, plan(destination)),
      undefined,
    );
  }
});

test('nobody has the address connected to at which clouds tell machines their secrets', async () => {
  const method = '/novacron.agent.v1.MigrationService/PlanMigration';
  const { raw } = await harness.asRole('operator');
  for (const address of ['169.254.169.254:80', '[fd00:ec2::254]:80', '0.0.0.0:80']) {
    const spec = { virtualMachine: ref, destination: { nodeName: 'node-b', address } };
    const { request } = change(migrations.PlanMigrationRequest, { spec }, {});
    const failed = await attempt(raw, method, request);
    assert.equal(failed?.reason, 'INVALID_REQUEST', address);
    assert.match(failed.message, /spec\.destination\.address is/);
  }
});
