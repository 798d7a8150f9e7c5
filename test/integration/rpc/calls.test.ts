import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { status as Code, Metadata } from '@grpc/grpc-js';
import { AgentError } from '../../../src/core/errors.ts';
import { PreconditionFailure, RetryInfo } from '../../../src/gen/google/rpc/error_details.ts';
import type {
  GetVirtualMachineRequest,
  GetVirtualMachineResponse,
} from '../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { MIGRATION_ID } from '../../fakes/fake-migration-service.ts';
import { call, failure, RpcHarness, until } from './rpc-harness.ts';

let harness: RpcHarness;
let local: ReturnType<RpcHarness['clients']>;

before(async () => {
  harness = await RpcHarness.start();
  local = harness.clients();
});
after(() => harness[Symbol.asyncDispose]());
beforeEach(() => {
  harness.vms.failure = undefined;
  harness.vms.hangs = false;
  harness.vms.deaf = false;
  harness.logLines.length = 0;
  harness.callEnds.length = 0;
});

const web = { ref: { namespace: '', name: 'web', uid: '' }, operationId: '' };
const get = (name = 'web') =>
  call<GetVirtualMachineRequest, GetVirtualMachineResponse>(
    (request, callback) => local.vms.getVirtualMachine(request, callback),
    {
      ref: { namespace: '', name, uid: '' },
    },
  );

test('a VM comes back whole, in the namespace "default" if none is given', async () => {
  const { virtualMachine } = await get();
  assert.equal(virtualMachine?.metadata?.name, 'web');
  assert.equal(virtualMachine.status?.statistics?.cpuTimeNs, 9_007_199_254_740_991n);
  assert.deepEqual(harness.vms.calls.at(-1)?.argument, {
    namespace: 'default',
    name: 'web',
    uid: undefined,
  });
});

test('a failure has a code, a message and a reason with metadata', async () => {
  const { code, message, info } = await failure(get('nothing'));
  assert.equal(code, Code.NOT_FOUND);
  assert.equal(message, 'There is no VM nothing');
  assert.deepEqual(info, {
    reason: 'VM_NOT_FOUND',
    domain: 'agent.novacron.io',
    metadata: { name: 'nothing' },
  });
});

test('retry and preconditions travel with the error', async () => {
  harness.vms.failure = new AgentError('VM_RUNNING', 'It runs', {
    retryAfterMs: 1_500,
    violations: [{ field: 'spec.runStrategy', description: 'is running' }],
  });
  const { code, details } = await failure(get());
  assert.equal(code, Code.FAILED_PRECONDITION);
  const retry = details.find(({ typeUrl }) => typeUrl.endsWith('RetryInfo'));
  assert.deepEqual(RetryInfo.decode(retry?.value ?? Buffer.of()).retryDelay, {
    seconds: 1n,
    nanos: 500_000_000,
  });
  const failed = details.find(({ typeUrl }) => typeUrl.endsWith('PreconditionFailure'));
  assert.deepEqual(PreconditionFailure.decode(failed?.value ?? Buffer.of()).violations, [
    { type: 'VM_RUNNING', subject: 'spec.runStrategy', description: 'is running' },
  ]);
});

test("a foreign error's integer code and text never reach the caller, but the log", async () => {
  harness.vms.failure = Object.assign(new Error('virDomainLookup: /etc/secret'), { code: 42 });
  const { code, message, info } = await failure(get());
  assert.equal(code, Code.INTERNAL);
  assert.equal(info?.reason, 'INTERNAL');
  assert.doesNotMatch(message, /secret/);
  await until(() => harness.logLines.some(({ msg }) => msg === 'Call failed'));
  const line = harness.logLines.find(({ msg }) => msg === 'Call failed');
  assert.equal(line?.['level'], 50);
  assert.equal(line?.['requestId'], info.metadata['requestId']);
  assert.match(JSON.stringify(line['err']), /secret/);
});

test('a message that no header can hold does not end the agent', async () => {
  harness.vms.failure = new AgentError('VM_BUSY', `half a pair \ud800 ${'long '.repeat(10_000)}`);
  const { code, message } = await failure(get());
  assert.equal(code, Code.ABORTED);
  assert.ok(message.length <= 1_501);
});

test("the caller's deadline aborts the handler and is answered as such", async () => {
  harness.vms.hangs = true;
  const asked = harness.vms.calls.length;
  // On a busy machine a short deadline may pass before the call has arrived.
  for (let allowedMs = 50; harness.vms.calls.length === asked; allowedMs *= 4) {
    const deadline = Date.now() + allowedMs;
    const failed = await failure(
      new Promise((resolve, reject) => {
        local.vms.getVirtualMachine(web, new Metadata(), { deadline }, (error) =>
          error === null ? resolve(undefined) : reject(error),
        );
      }),
    );
    assert.equal(failed.code, Code.DEADLINE_EXCEEDED);
  }
  const signal = harness.vms.signals.at(-1);
  // Whether by the caller's clock (a cancellation) or by ours.
  await until(() => signal?.aborted === true);
});

test('a cancelled call aborts the handler', async () => {
  harness.vms.hangs = true;
  const asked = harness.vms.calls.length;
  const { promise, reject, resolve } = Promise.withResolvers();
  const pending = local.vms.getVirtualMachine(web, (error) =>
    error === null ? resolve(undefined) : reject(error),
  );
  await until(() => harness.vms.calls.length > asked);
  pending.cancel();
  assert.equal((await failure(promise)).code, Code.CANCELLED);
  const signal = harness.vms.signals.at(-1);
  await until(() => signal?.aborted === true);
  assert.equal(signal?.reason.name, 'AbortError');
  await until(() => harness.server.runningCalls === 0);
});

test('every change is in the audit log: who, what and with which outcome', async () => {
  await call((r, cb) => local.vms.startVirtualMachine(r, cb), { ...web, dryRun: false });
  harness.vms.failure = new AgentError('VM_BUSY', 'Busy');
  await failure(call((r, cb) => local.vms.destroyVirtualMachine(r, cb), web));
  await call((r, cb) => local.migrations.cancelMigration(r, cb), { id: MIGRATION_ID });
  await until(() => harness.logLines.filter((line) => line['audit'] === true).length === 3);
  const audit = harness.logLines.filter((line) => line['audit'] === true);
  assert.deepEqual(
    audit.map(({ caller, method, vm, migrationId, outcome, level }) => ({
      caller,
      method: String(method).split('/').at(-1),
      object: vm ?? migrationId,
      outcome,
      level,
    })),
    [
      ['StartVirtualMachine', 'default/web', 'OK'],
      ['DestroyVirtualMachine', 'default/web', 'VM_BUSY'],
      ['CancelMigration', MIGRATION_ID, 'OK'],
    ].map(([method, object, outcome]) => ({
      caller: 'unix:root',
      method,
      object,
      outcome,
      level: 30,
    })),
  );
});

test('the observer is told of each call, its role and its code', async () => {
  await get();
  await failure(get('nothing'));
  await until(() => harness.callEnds.length === 2);
  assert.deepEqual(
    harness.callEnds.map(({ role, code }) => ({ role, code })),
    [
      { role: 'operator', code: Code.OK },
      { role: 'operator', code: Code.NOT_FOUND },
    ],
  );
});

test('repeated calls leave no listener, timer or running work behind', {
  timeout: 60_000,
}, async () => {
  const over = await harness.asRole('controller');
  const once = () =>
    call((request, callback) => over.vms.getVirtualMachine(request, callback), web);
  await once();
  const { connections } = harness.server;
  const idle = countResources();
  for (let at = 0; at < 1_000; at++) await once();
  for (let at = 0; at < 10; at++) await Promise.all(Array.from({ length: 32 }, once));
  await until(() => harness.server.runningCalls === 0 && countResources() <= idle);
  assert.equal(harness.server.connections, connections);
});

/** Handles and timers; immediates and writes under way come and go. */
function countResources(): number {
  return process
    .getActiveResourcesInfo()
    .filter((name) => /Wrap$|^Timeout$/.test(name) && !/Req/.test(name)).length;
}
