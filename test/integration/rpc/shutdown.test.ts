import assert from 'node:assert/strict';
import { once } from 'node:events';
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
  await once(watch, 'data');

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
  using stack = new DisposableStack();
  const refused = stack.adopt(net.connect(port, '127.0.0.1'), (socket) => socket.destroy());
  await assert.rejects(once(refused, 'connect'), { code: 'ECONNREFUSED' });
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
  await harness.server.close(100);
  assert.equal(harness.server.runningCalls, 1, 'the handler was waited for');
  assert.notEqual((await failed).code, Code.OK);
  assert.equal(harness.vms.signals.at(-1)?.aborted, true);
});

test('connections that never spoke are cut when the others have had their time', async (context) => {
  await using harness = await RpcHarness.start();
  using stack = new DisposableStack();
  const silent = [net.connect(harness.socket), net.connect(harness.server.port, '127.0.0.1')];
  for (const socket of silent) {
    stack.adopt(socket, (left) => left.destroy());
    socket.on('error', () => undefined);
    await once(socket, 'connect');
  }
  await until(() => harness.server.connections === 1);
  // No other timer comes to their aid: time stands still but for the grace.
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const closing = harness.server.close(200);
  assert.equal(harness.server.connections, 1);
  context.mock.timers.tick(200);
  await closing;
  context.mock.timers.reset();
  assert.equal(harness.server.connections, 0);
});

test('a client finds the agent again after its restart', async () => {
  await using harness = await RpcHarness.start();
  const { vms } = harness.clients();
  const ask = () => call((request, callback) => vms.getVirtualMachine(request, callback), web);
  await ask();
  await harness.restart();
  await until(async () => {
    try {
      await ask();
      return true;
    } catch (error) {
      assert.equal((error as ServiceError).code, Code.UNAVAILABLE);
      return false;
    }
  });
});
