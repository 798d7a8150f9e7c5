import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import net from 'node:net';
import { test } from 'node:test';
import { status as Code, type ServiceError } from '@grpc/grpc-js';
import { WatchVirtualMachinesRequest } from '../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { makeVm } from '../../fakes/fake-vm-service.ts';
import { call, type Failure, failure, RpcHarness, readFailure, until } from './rpc-harness.ts';

const web = { ref: { namespace: '', name: 'web', uid: '' } };

test('watches end with SHUTTING_DOWN, short calls finish, nobody else gets in', async () => {
  await using harness = await RpcHarness.start();
  const clients = await harness.asRole('controller');
  const watch = clients.vms.watchVirtualMachines(WatchVirtualMachinesRequest.create());
  const ended = new Promise<Failure>((resolve) =>
    watch.on('error', (error: ServiceError) => resolve(readFailure(error))),
  );
  await new Promise((resolve) => watch.once('data', resolve));

  const { promise: release, resolve: finish } = Promise.withResolvers<void>();
  harness.vms.get = async () => {
    harness.vms.calls.push({ method: 'get', argument: undefined });
    await release;
    return makeVm('web');
  };
  const asked = harness.vms.calls.length;
  const slow = call((request, callback) => clients.vms.getVirtualMachine(request, callback), web);
  await until(() => harness.vms.calls.length > asked);

  const { port } = harness.server;
  const closing = harness.server.close(5_000);
  const end = await ended;
  assert.equal(end.code, Code.UNAVAILABLE);
  assert.equal(end.reason, 'SHUTTING_DOWN');
  finish();
  await slow;
  await closing;
  assert.ok(!existsSync(harness.socket));
  const refused = net.connect(port, '127.0.0.1');
  await new Promise((resolve) => refused.once('error', resolve));
});

test('calls that do not finish in time are cut, even if their handler is deaf', async () => {
  await using harness = await RpcHarness.start();
  const { vms } = harness.clients();
  harness.vms.deaf = true;
  const asked = harness.vms.calls.length;
  const failed = failure(
    call((request, callback) => vms.getVirtualMachine(request, callback), web),
  );
  await until(() => harness.vms.calls.length > asked);
  const startedAt = performance.now();
  await harness.server.close(100);
  assert.ok(performance.now() - startedAt < 3_000);
  assert.notEqual((await failed).code, Code.OK);
  assert.equal(harness.vms.signals.at(-1)?.aborted, true);
});

test('connections that never spoke do not hold up the end', async () => {
  await using harness = await RpcHarness.start();
  const silent = [net.connect(harness.socket), net.connect(harness.server.port, '127.0.0.1')];
  for (const socket of silent) {
    socket.on('error', () => undefined);
    await new Promise((resolve) => socket.once('connect', resolve));
  }
  await until(() => harness.server.connections === 1);
  const startedAt = performance.now();
  await harness.server.close(200);
  assert.ok(performance.now() - startedAt < 2_000);
  for (const socket of silent) socket.destroy();
});

test('a client finds the agent again right after its restart', async () => {
  await using harness = await RpcHarness.start();
  const { vms } = harness.clients();
  const ask = () => call((request, callback) => vms.getVirtualMachine(request, callback), web);
  await ask();
  await harness.restart();
  const startedAt = performance.now();
  while (true) {
    try {
      await ask();
      break;
    } catch (error) {
      assert.equal((error as ServiceError).code, Code.UNAVAILABLE);
      assert.ok(performance.now() - startedAt < 2_000);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
});
