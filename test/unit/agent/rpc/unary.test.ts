import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { status as Code, Metadata, type ServerUnaryCall } from '@grpc/grpc-js';
import { pino } from 'pino';
import { AdmittedCalls } from '../../../../src/agent/rpc/admission.ts';
import { Calls } from '../../../../src/agent/rpc/calls.ts';
import { LOCAL_CALLER } from '../../../../src/agent/rpc/identity.ts';
import { MAX_RESPONSE_BYTES } from '../../../../src/agent/rpc/message-limits.ts';
import { type UnaryHandler, unary } from '../../../../src/agent/rpc/unary.ts';

const METHOD = {
  path: '/novacron.agent.v1.VirtualMachineService/StartVirtualMachine',
  requestDeserialize: (bytes: Buffer) => bytes.toString(),
  responseSerialize: (text: string) => Buffer.from(text),
};

class FakeCall extends EventEmitter {
  readonly metadata = new Metadata();
  readonly request = Buffer.from('request');
  cancelled = false;
  deadline = Number.POSITIVE_INFINITY;
  getDeadline = () => this.deadline;
}

function setUp(handler: UnaryHandler<string, string>, timeoutMs?: number) {
  const lines: Record<string, unknown>[] = [];
  const admitted = new AdmittedCalls();
  const log = pino({ level: 'debug' }, { write: (line) => lines.push(JSON.parse(line)) });
  const calls = new Calls(admitted, log);
  const call = new FakeCall();
  admitted.add(call.metadata, { caller: LOCAL_CALLER, requestId: 'id' });
  const { promise: answer, resolve } = Promise.withResolvers<{ code: number } | Buffer>();
  unary(
    METHOD,
    handler,
    calls,
    timeoutMs,
  )(call as unknown as ServerUnaryCall<Buffer, Buffer>, (error, value) =>
    resolve((error as { code: number } | null) ?? value ?? Buffer.of()),
  );
  return { call, calls, answer, lines };
}

test('the request goes in and the response comes out, with nothing left on the call', async () => {
  const { call, calls, answer } = setUp(async (request) => `${request} and response`);
  assert.deepEqual(await answer, Buffer.from('request and response'));
  await calls.idle();
  assert.equal(call.listenerCount('cancelled'), 0);
});

test('a call without a deadline gets one, and is answered even if its handler is deaf', async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  const { calls, answer, lines } = setUp(() => promise, 10);
  assert.equal(((await answer) as { code: number }).code, Code.DEADLINE_EXCEEDED);
  assert.equal(calls.running, 1);
  assert.deepEqual(lines, []);
  resolve('done after all');
  await calls.idle();
  // The audit log tells what came of it.
  assert.deepEqual(
    lines.filter(({ audit }) => audit === true).map(({ outcome }) => outcome),
    ['OK'],
  );
});

test('a cancellation after the deadline is told as a passed deadline', async () => {
  const { call, answer } = setUp(() => new Promise<string>(() => undefined));
  call.deadline = Date.now() - 1;
  call.emit('cancelled');
  assert.equal(((await answer) as { code: number }).code, Code.DEADLINE_EXCEEDED);
});

test('a call that was cancelled before it began does not wait', async () => {
  const call = new FakeCall();
  call.cancelled = true;
  const admitted = new AdmittedCalls();
  admitted.add(call.metadata, { caller: LOCAL_CALLER, requestId: 'id' });
  const calls = new Calls(admitted, pino({ level: 'silent' }));
  let aborted: boolean | undefined;
  const handler: UnaryHandler<string, string> = async (_request, { signal }) => {
    aborted = signal.aborted;
    return '';
  };
  const adapter = unary(METHOD, handler, calls);
  const code = await new Promise((resolve) =>
    adapter(call as unknown as ServerUnaryCall<Buffer, Buffer>, (error) => resolve(error?.code)),
  );
  assert.equal(code, Code.CANCELLED);
  assert.equal(aborted, true);
});

test('a response that cannot be written is an internal error without its text', async () => {
  const { answer, lines, calls } = setUp(async () => undefined as unknown as string);
  const { code, details } = (await answer) as { code: number; details: string };
  assert.equal(code, Code.INTERNAL);
  assert.doesNotMatch(details, /undefined/);
  await calls.idle();
  assert.equal(lines.filter(({ msg }) => msg === 'Call failed').length, 1);
});

test('a call that did not pass the gate is refused', async () => {
  const calls = new Calls(new AdmittedCalls(), pino({ level: 'silent' }));
  const adapter = unary(METHOD, async () => 'secret', calls);
  const code = await new Promise((resolve) =>
    adapter(new FakeCall() as unknown as ServerUnaryCall<Buffer, Buffer>, (error) =>
      resolve(error?.code),
    ),
  );
  assert.equal(code, Code.UNAUTHENTICATED);
});

test('a response beyond the limit is refused in our own words', async () => {
  const { answer } = setUp(async () => 'x'.repeat(MAX_RESPONSE_BYTES + 1));
  const { code, reason } = (await answer) as unknown as { code: number; reason: string };
  assert.deepEqual([code, reason], [Code.RESOURCE_EXHAUSTED, 'RESPONSE_TOO_LARGE']);
});
