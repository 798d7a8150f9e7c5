import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Client, status as Code, type ServiceError } from '@grpc/grpc-js';
import { METHOD_RULES } from '../../../src/agent/rpc/authorization.ts';
import { call, type Failure, RpcHarness, readFailure } from './rpc-harness.ts';

let harness: RpcHarness;
before(async () => {
  harness = await RpcHarness.start();
});
after(() => harness[Symbol.asyncDispose]());

const same = (bytes: Buffer) => bytes;

/** Calls a method with an empty request; undefined if it begins to answer. */
async function attempt(client: Client, method: string): Promise<Failure | undefined> {
  const { promise, resolve } = Promise.withResolvers<Failure | undefined>();
  // A stream call reads unary answers as well as streams.
  const attempted = client.makeServerStreamRequest(method, same, same, Buffer.of(), {
    deadline: Date.now() + 60_000,
  });
  attempted.on('data', () => resolve(undefined));
  attempted.on('end', () => resolve(undefined));
  attempted.on('error', (error: ServiceError) => resolve(readFailure(error)));
  const result = await promise;
  attempted.cancel();
  return result;
}

for (const role of ['controller', 'operator', 'viewer', 'peer', 'unix'] as const) {
  test(`${role} may call what the table says and nothing else`, async () => {
    const { raw } =
      role === 'unix'
        ? harness.clients()
        : role === 'peer'
          ? await harness.asPeer('node-b')
          : await harness.asRole(role);
    for (const [method, { roles }] of Object.entries(METHOD_RULES)) {
      const failed = await attempt(raw, method);
      const allowed = roles.includes(role === 'unix' ? 'operator' : role);
      assert.equal(failed?.code === Code.PERMISSION_DENIED, !allowed, `${role} ${method}`);
      if (!allowed) assert.equal(failed?.reason, 'PERMISSION_DENIED');
      assert.notEqual(failed?.code, Code.UNAUTHENTICATED, `${role} ${method}`);
      assert.notEqual(failed?.code, Code.INTERNAL, `${role} ${method}: ${failed?.message}`);
    }
  });
}

for (const [title, uris] of [
  ['without a URI of ours', ['spiffe://elsewhere/role/operator']],
  ['with two of them', ['spiffe://novacron/role/viewer', 'spiffe://novacron/role/operator']],
  ['with an unknown role', ['spiffe://novacron/role/root']],
  ['with an odd node name', ['spiffe://novacron/node/Node_A']],
  ['with one in capitals', ['SPIFFE://NOVACRON/role/operator']],
] as const) {
  test(`a certificate ${title} has no identity, not even for health`, async () => {
    const { raw } = harness.clients(await harness.identity(...uris));
    for (const method of [
      '/novacron.agent.v1.NodeService/GetNode',
      '/grpc.health.v1.Health/Check',
    ]) {
      const failed = await attempt(raw, method);
      assert.equal(failed?.code, Code.UNAUTHENTICATED);
      assert.equal(failed?.reason, 'UNAUTHENTICATED');
    }
  });
}

test('a method that does not exist is unimplemented', async () => {
  const { raw } = harness.clients();
  const failed = await attempt(raw, '/novacron.agent.v1.VirtualMachineService/Explode');
  assert.equal(failed?.code, Code.UNIMPLEMENTED);
});

test('peer calls are made in the name of the node in the certificate', async () => {
  const { raw } = await harness.asPeer('node-b.example');
  await attempt(raw, '/novacron.peer.v1.PeerService/GetIncoming');
  const { peer } = await harness.asPeer('node-b.example');
  await call((request, callback) => peer.getIncoming(request, callback), {
    migrationId: '7a1b2c3d-4e5f-4a6b-8c7d-8e9fa0b1c2d3',
    virtualMachineUid: '0b9d3c4e-1111-4222-8333-444455556666',
  });
  assert.deepEqual(harness.incoming.callers, ['node-b.example']);
});
