import assert from 'node:assert/strict';
import { once } from 'node:events';
import http2 from 'node:http2';
import net from 'node:net';
import { after, before, test } from 'node:test';
import { status as Code, Metadata } from '@grpc/grpc-js';
import { ListVirtualMachinesRequest } from '../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { makeVm } from '../../fakes/fake-vm-service.ts';
import { type Failure, RpcHarness, readFailure, until } from './rpc-harness.ts';

/* A caller that asks and does not read what it is answered. */

const MIB = 1024 ** 2;
const LIST = '/novacron.agent.v1.VirtualMachineService/ListVirtualMachines';
const ASKED = 12;
/** Answers of 9 MiB that 64 MiB hold. */
const HELD = 7;

let harness: RpcHarness;
before(async () => {
  harness = await RpcHarness.start('warn');
  harness.vms.put(makeVm('large', { message: 'x'.repeat(9 * MIB) }));
});
after(() => harness[Symbol.asyncDispose]());

class Reader implements Disposable {
  readonly #session: http2.ClientHttp2Session;

  constructor() {
    this.#session = http2.connect('http://agent', {
      createConnection: () => net.connect(harness.socket),
    });
  }

  ask(path: string) {
    const message = ListVirtualMachinesRequest.encode(ListVirtualMachinesRequest.create()).finish();
    const headers = { 'content-type': 'application/grpc', te: 'trailers' };
    const stream = this.#session.request({ ':method': 'POST', ':path': path, ...headers });
    const frame = Buffer.alloc(5);
    frame.writeUInt32BE(message.length, 1);
    stream.end(Buffer.concat([frame, message]));
    return stream;
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}

/** How an answer ends; one that is not refused must be read for that. */
async function endOf(stream: http2.ClientHttp2Stream): Promise<http2.IncomingHttpHeaders> {
  const [trailers] = (await once(stream, 'trailers')) as [http2.IncomingHttpHeaders];
  return trailers;
}

async function codeOf(stream: http2.ClientHttp2Stream): Promise<number> {
  return Number((await endOf(stream.resume()))['grpc-status']);
}

function countRefusals(): number {
  return harness.logLines.filter(({ outcome }) => outcome === 'ANSWERS_UNREAD').length;
}

function failureOf(trailers: http2.IncomingHttpHeaders): Failure {
  const details = Buffer.from(String(trailers['grpc-status-details-bin']), 'base64');
  const metadata = new Metadata();
  metadata.set('grpc-status-details-bin', details);
  return readFailure({ metadata });
}

test('answers that nobody reads are held up to a limit for each connection, and others are served', async () => {
  using slow = new Reader();
  using other = new Reader();
  const streams = Array.from({ length: ASKED }, () => slow.ask(LIST));
  const ends = Promise.all(streams.map(endOf));
  await until(() => countRefusals() === ASKED - HELD);
  assert.equal(await codeOf(other.ask(LIST)), Code.OK);

  for (const stream of streams) stream.resume();
  const refused = (await ends).filter((trailers) => trailers['grpc-status'] !== '0');
  assert.equal(refused.length, ASKED - HELD);
  for (const trailers of refused) {
    const { reason, details } = failureOf(trailers);
    assert.equal(Number(trailers['grpc-status']), Code.RESOURCE_EXHAUSTED);
    assert.equal(reason, 'ANSWERS_UNREAD');
    assert.ok(details.some(({ typeUrl }) => typeUrl.endsWith('/google.rpc.RetryInfo')));
  }
  // Whoever has read them may ask for more.
  assert.equal(await codeOf(slow.ask(LIST)), Code.OK);
  await until(() => harness.server.runningCalls === 0);
});
