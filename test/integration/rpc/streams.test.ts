import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { after, before, beforeEach, test } from 'node:test';
import { type ClientReadableStream, status as Code, type ServiceError } from '@grpc/grpc-js';
import { AgentError } from '../../../src/core/errors.ts';
import {
  GetConsoleLogRequest,
  WatchVirtualMachinesRequest,
} from '../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { makeVm, ORIGIN } from '../../fakes/fake-vm-service.ts';
import { call, type Failure, RpcHarness, readFailure, until } from './rpc-harness.ts';

let harness: RpcHarness;
let local: ReturnType<RpcHarness['clients']>;
before(async () => {
  harness = await RpcHarness.start();
  local = harness.clients();
});
after(() => harness[Symbol.asyncDispose]());
beforeEach(() => {
  harness.vms.failure = undefined;
  harness.vms.events = undefined;
});

const ref = { namespace: '', name: 'web', uid: '' };
const watchVms = () => local.vms.watchVirtualMachines(WatchVirtualMachinesRequest.create());

async function ended(stream: ClientReadableStream<unknown>): Promise<Failure | undefined> {
  const { promise, resolve } = Promise.withResolvers<Failure | undefined>();
  stream.on('end', () => resolve(undefined));
  stream.on('error', (error: ServiceError) => resolve(readFailure(error)));
  return promise;
}

test('a watch gives what is there and then says that it is up to date', async () => {
  const watch = watchVms();
  const types: unknown[] = [];
  watch.on('data', ({ type }) => types.push(type));
  const end = ended(watch);
  await until(() => types.length === 3);
  assert.deepEqual(types, [5, 1, 4]);
  watch.cancel();
  assert.equal((await end)?.code, Code.CANCELLED);
  await until(() => harness.vms.signals.at(-1)?.aborted === true);
  await until(() => harness.server.runningCalls === 0);
});

test('a stream that fails says why', async () => {
  harness.vms.failure = new AgentError('STATE_NOT_READY', 'Not yet');
  const watch = watchVms();
  watch.resume();
  const failed = await ended(watch);
  assert.equal(failed?.code, Code.UNAVAILABLE);
  assert.equal(failed?.reason, 'STATE_NOT_READY');
});

test('a bad cursor is refused with its field', async () => {
  const cursor = { agentEpoch: 2n ** 63n, revision: 1n };
  const watch = local.vms.watchVirtualMachines(WatchVirtualMachinesRequest.fromPartial({ cursor }));
  watch.resume();
  const failed = await ended(watch);
  assert.equal(failed?.reason, 'INVALID_REQUEST');
  assert.match(failed?.message ?? '', /cursor\.agentEpoch/);
});

/** Events as fast as a node could ever have them. */
async function* manyEvents(count: number, onSent: () => void) {
  const object = makeVm('web', { message: 'x'.repeat(1_000) });
  for (let at = 1; at <= count; at++) {
    onSent();
    yield { type: 'modified' as const, object, origin: ORIGIN };
    if (at % 10 === 0) await new Promise(setImmediate);
  }
}

test('a watcher that does not read is expired and holds no more than a few MiB', async () => {
  let sent = 0;
  harness.vms.events = () => manyEvents(Number.POSITIVE_INFINITY, () => sent++);
  const request = WatchVirtualMachinesRequest.fromPartial({});
  const path = '/novacron.agent.v1.VirtualMachineService/WatchVirtualMachines';
  using reader = unread(path, WatchVirtualMachinesRequest.encode(request).finish());
  await until(() => sent > 0 && harness.server.runningCalls === 0);
  assert.ok(sent < 10_000, `${sent} events were read for it`);

  const trailers = once(reader.stream, 'trailers') as Promise<[http2.IncomingHttpHeaders]>;
  reader.stream.resume();
  const [{ 'grpc-status': code }] = await trailers;
  assert.equal(Number(code), Code.ABORTED);
  await until(() => harness.logLines.some(({ msg }) => msg === 'Call failed'));
});

test('a watcher that reads keeps up', async () => {
  harness.vms.events = () => manyEvents(20_000, () => undefined);
  const watch = watchVms();
  let received = 0;
  watch.on('data', () => received++);
  assert.equal(await ended(watch), undefined);
  assert.equal(received, 20_000);
});

test('a slow reader of a console makes the source wait instead', async () => {
  let given = 0;
  const chunk = Buffer.alloc(100_000, 'a');
  harness.vms.console = function* () {
    for (let at = 0; at < 200; at++) {
      given++;
      yield chunk;
    }
  };
  const request = GetConsoleLogRequest.fromPartial({ ref });
  const path = '/novacron.agent.v1.VirtualMachineService/GetConsoleLog';
  using reader = unread(path, GetConsoleLogRequest.encode(request).finish());
  await until(() => given > 0);
  // Others are served meanwhile; whoever did not wait would be through long before.
  for (let at = 0; at < 20; at++) {
    await call((request, callback) => local.node.getNode(request, callback), {});
  }
  assert.ok(given < 50, `${given} chunks were read ahead`);
  let bytes = 0;
  reader.stream.on('data', (data: Buffer) => {
    bytes += data.length;
  });
  await once(reader.stream, 'end');
  assert.ok(bytes > 200 * chunk.length);
});

test('messages of a console have at most 64 KiB', async () => {
  const chunk = Buffer.alloc(100_000, 'a');
  harness.vms.console = () => [chunk];
  const log = local.vms.getConsoleLog({ ref, tailBytes: 0n, follow: false });
  const sizes: number[] = [];
  log.on('data', ({ data }) => sizes.push(data.length));
  assert.equal(await ended(log), undefined);
  assert.deepEqual(sizes, [64 * 1024, chunk.length - 64 * 1024]);
});

/** A call whose answer is not read; the gRPC library's own client always reads ahead. */
function unread(path: string, message: Uint8Array) {
  const session = http2.connect('http://agent', {
    createConnection: () => net.connect(harness.socket),
  });
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  const frame = Buffer.alloc(5);
  frame.writeUInt32BE(message.length, 1);
  stream.end(Buffer.concat([frame, message]));
  return { stream, [Symbol.dispose]: () => session.destroy() };
}

test('a hundred watches that come and go leave nothing behind', async () => {
  for (let at = 0; at < 100; at++) {
    const watch = watchVms();
    watch.on('error', () => undefined);
    await once(watch, 'data');
    watch.cancel();
  }
  await until(() => harness.server.runningCalls === 0);
});
