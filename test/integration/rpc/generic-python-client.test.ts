import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installPythonClients } from '../../../lab/builds/python-clients.ts';
import { inProject } from '../../../lab/core/project.ts';
import { run } from '../../../lab/core/run-command.ts';
import { SERVED_SERVICES } from '../../fixtures/served-services.ts';
import { RpcHarness } from './rpc-harness.ts';

/*
 * A client that knows nothing of the API but what the agent tells: Google's own libraries for Python, which read what reflection
 * tells by rules of their own.
 */

async function learn(args: readonly string[], signal: AbortSignal): Promise<any> {
  const python = await installPythonClients(signal);
  const program = inProject('test/clients/generic_client.py');
  return JSON.parse(await run([python, program, ...args], {}, signal));
}

function check(learned: any): void {
  assert.deepEqual(learned.services, SERVED_SERVICES);
  assert.ok(learned.methods.includes('CreateVirtualMachine'));
  assert.deepEqual(learned.vms, ['web']);
  assert.equal(learned.failure.code, 'NOT_FOUND');
  assert.deepEqual(learned.failure.details, [
    {
      'google.rpc.ErrorInfo': {
        domain: 'agent.novacron.io',
        metadata: { name: 'nothing' },
        reason: 'VM_NOT_FOUND',
      },
    },
  ]);
  assert.ok(learned.event.cursor !== undefined || learned.event.type !== undefined);
  assert.deepEqual(learned.health, { status: 'SERVING' });
}

test('a client in Python learns the API by reflection and uses it, by the socket and over TLS', async ({
  signal,
}) => {
  await using harness = await RpcHarness.start();
  harness.server.setReady(true);
  check(await learn([`unix:${harness.socket}`], signal));
  const { ca, certificate, key } = await harness.identity('spiffe://novacron/role/operator');
  check(await learn([harness.address, ca, certificate, key, 'node-a'], signal));
});
