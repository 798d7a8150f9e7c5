import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { toAgentError } from '../../../src/client/status.ts';
import { channelSettings, checkNodeIdentity } from '../../../src/client/target.ts';

test('a certificate of the wanted node is accepted', () => {
  const subjectaltname = 'DNS:a.example, URI:spiffe://novacron/node/node-a, IP Address:10.0.0.1';
  assert.equal(checkNodeIdentity('node-a', { subjectaltname }), undefined);
});

test('a certificate of another node is refused by name', () => {
  const error = checkNodeIdentity('node-a', {
    subjectaltname: 'URI:spiffe://novacron/node/node-b',
  });
  assert.match(error?.message ?? '', /not that of node node-a .*node-b/);
});

test('a node name that is only the beginning of another does not match it', () => {
  const certificate = { subjectaltname: 'URI:spiffe://novacron/node/node-a2' };
  assert.ok(checkNodeIdentity('node-a', certificate));
});

test('an identity smuggled into a quoted name does not count', () => {
  const certificate = { subjectaltname: 'DNS:"x, URI:spiffe://novacron/node/node-a"' };
  assert.ok(checkNodeIdentity('node-a', certificate));
});

test('a TCP address without a certificate is refused', async () => {
  await assert.rejects(channelSettings({ address: '10.0.0.1:7443' }), {
    reason: 'INVALID_CONFIG',
    message: /10\.0\.0\.1:7443: a TCP address needs a client certificate/,
  });
});

test('a certificate that cannot be read is named', async () => {
  const tls = { certificate: '/nowhere/c.pem', key: '/nowhere/k.pem', ca: '/nowhere/ca.pem' };
  await assert.rejects(channelSettings({ address: '10.0.0.1:7443', tls }), {
    reason: 'INVALID_CONFIG',
    message: /\/nowhere\/.*: it does not exist$/,
  });
});

function unavailable(details: string, address: string): string {
  const parts = { code: status.UNAVAILABLE, details, metadata: new Metadata() };
  const error: ServiceError = Object.assign(new Error(details), parts);
  return toAgentError(error, address).message;
}

test('why an agent cannot be reached has nothing of the words of the gRPC library', () => {
  const details =
    'No connection established. Last error: Error: its certificate is not that of node a. Resolution note: ';
  assert.match(
    unavailable(details, '10.0.0.1:7443'),
    /7443: its certificate is not that of node a$/,
  );
});

test('a connection that is lost may be one whose certificate was not accepted, but at no socket', () => {
  const lost = 'No connection established. Last error: read ECONNRESET. Resolution note: ';
  assert.match(
    unavailable(lost, '10.0.0.1:7443'),
    /was lost; an agent that does not accept our cert/,
  );
  assert.match(unavailable(lost, 'unix:/run/agent.sock'), /was lost$/);
});
