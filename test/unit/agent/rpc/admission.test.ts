import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { status as Code, Metadata } from '@grpc/grpc-js';
import { pino } from 'pino';
import { AdmittedCalls, admission, type Gate } from '../../../../src/agent/rpc/admission.ts';
import { LOCAL_CALLER } from '../../../../src/agent/rpc/identity.ts';
import { AgentError, hasReason } from '../../../../src/core/errors.ts';

const GET_NODE = '/novacron.agent.v1.NodeService/GetNode';

/** Sends one call through the gate; gives the code it was refused with, if it was. */
function admit(gate: Partial<Gate>) {
  const { end, ...seen } = open(gate, false);
  end();
  return seen;
}

/** The same for a stream, which goes on. */
function openStream(gate: Partial<Gate>) {
  return open(gate, true);
}

function open(gate: Partial<Gate>, responseStream: boolean) {
  const admitted = new AdmittedCalls();
  const metadata = new Metadata();
  const codes: unknown[] = [];
  const roles: string[] = [];
  let end: (() => void) | undefined;
  const base = {
    start: (listener: { onReceiveMetadata(metadata: Metadata): void; onCancel(): void }) => {
      end = () => listener.onCancel();
      listener.onReceiveMetadata(metadata);
    },
    sendStatus: ({ code }: { code: number }) => codes.push(code),
    getDeadline: () => Number.POSITIVE_INFINITY,
  } as unknown as ServerInterceptingCallInterface;
  const interceptor = admission(
    { caller: LOCAL_CALLER, closing: undefined, openStreams: new Set(), unreadBytes: 0, ...gate },
    {
      admitted,
      observer: { callStarted: () => undefined, callEnded: ({ role }) => roles.push(role) },
      log: pino({ level: 'silent' }),
    },
  );
  let passed = false;
  const method = { path: GET_NODE, responseStream };
  interceptor(method as never, base).start({
    onReceiveMetadata: () => {
      passed = true;
    },
    onReceiveMessage: () => undefined,
    onReceiveHalfClose: () => undefined,
    onCancel: () => undefined,
  });
  return { passed, codes, roles, admitted, metadata, end: () => end?.() };
}

test('a call passes with its caller', () => {
  const { passed, codes, admitted, metadata } = admit({});
  assert.deepEqual([passed, codes], [true, []]);
  assert.equal(admitted.get(metadata).caller, LOCAL_CALLER);
});

test('a certificate that expires while its connection is open admits no more calls', () => {
  const { passed, codes, roles } = admit({ caller: { ...LOCAL_CALLER, expiresAtMs: Date.now() } });
  assert.deepEqual([passed, codes, roles], [false, [Code.UNAUTHENTICATED], ['operator']]);
});

test('a stream ends when the certificate of its caller expires, also after the clock was set', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
  const { timers } = context.mock;
  const caller = { ...LOCAL_CALLER, expiresAtMs: 1_000_000 + 200_000 };
  const openStreams: Gate['openStreams'] = new Set();
  const early = openStream({ caller, openStreams });
  timers.tick(199_999);
  assert.deepEqual([early.codes, openStreams.size], [[], 1]);
  timers.tick(1);
  assert.deepEqual(early.codes, [Code.UNAUTHENTICATED]);

  const later = openStream({ caller: { ...caller, expiresAtMs: 2_000_000 } });
  timers.setTime(3_000_000);
  timers.tick(60_000);
  assert.deepEqual(later.codes, [Code.UNAUTHENTICATED]);
});

test('a stream that has ended does not end again when the certificate expires', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 });
  const stream = openStream({ caller: { ...LOCAL_CALLER, expiresAtMs: 1_100_000 } });
  stream.end();
  context.mock.timers.tick(200_000);
  assert.deepEqual(stream.codes, []);
});

test('a caller without an identity is refused, and counted without a role', () => {
  const { passed, codes, roles } = admit({ caller: new AgentError('UNAUTHENTICATED', 'Who?') });
  assert.deepEqual([passed, codes, roles], [false, [Code.UNAUTHENTICATED], ['none']]);
});

test('a connection that is closing takes no calls', () => {
  const { codes } = admit({ closing: new AgentError('SHUTTING_DOWN', 'Bye') });
  assert.deepEqual(codes, [Code.UNAVAILABLE]);
});

test('a call that came past the gate has no caller', () => {
  const { admitted } = admit({});
  assert.throws(
    () => admitted.get(new Metadata()),
    (error) => hasReason(error, 'UNAUTHENTICATED'),
  );
});
