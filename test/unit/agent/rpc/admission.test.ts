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
  const admitted = new AdmittedCalls();
  const metadata = new Metadata();
  const codes: unknown[] = [];
  const roles: string[] = [];
  const base = {
    start: (listener: { onReceiveMetadata(metadata: Metadata): void; onCancel(): void }) => {
      listener.onReceiveMetadata(metadata);
      listener.onCancel();
    },
    sendStatus: ({ code }: { code: number }) => codes.push(code),
    getDeadline: () => Number.POSITIVE_INFINITY,
  } as unknown as ServerInterceptingCallInterface;
  const interceptor = admission(
    { caller: LOCAL_CALLER, closing: undefined, openStreams: new Set(), ...gate },
    {
      admitted,
      observer: { callStarted: () => undefined, callEnded: ({ role }) => roles.push(role) },
      log: pino({ level: 'silent' }),
    },
  );
  let passed = false;
  const method = { path: GET_NODE, responseStream: false };
  interceptor(method as never, base).start({
    onReceiveMetadata: () => {
      passed = true;
    },
    onReceiveMessage: () => undefined,
    onReceiveHalfClose: () => undefined,
    onCancel: () => undefined,
  });
  return { passed, codes, roles, admitted, metadata };
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
