import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { newRequest, OneNode } from '../vms/one-node.ts';
import { incomingOf } from './incoming-vm.ts';
import { never } from './two-nodes.ts';

/** A VM of the same name as those that are created. */
const COMING = tinyVm({ name: 'web' });
const NAME = `${COMING.namespace}/${COMING.name}`;

function prepare({ agent }: OneNode) {
  const incoming = incomingOf({ vm: COMING });
  const request = { migrationId: randomUUID(), incoming, transferToken: 'ab'.repeat(32) };
  return agent.incoming.prepare(request, 'b', never);
}

/** Creates a VM, and holds that up while it is checked; the returned function lets it go on. */
async function creating(node: OneNode) {
  const { validator } = node.agent;
  const validate = validator.validate.bind(validator);
  const [reached, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  validator.validate = async (...check) => {
    reached.resolve();
    await gate.promise;
    return await validate(...check);
  };
  const created = node.create(newRequest('web'));
  created.catch(() => undefined);
  await reached.promise;
  return {
    goOn: () => {
      gate.resolve();
      return created;
    },
  };
}

test('a VM does not come while one of its name is being created', async () => {
  await using node = await OneNode.open();
  const { goOn } = await creating(node);
  await assert.rejects(prepare(node), { reason: 'VM_BUSY' });
  assert.equal((await goOn()).phase, 'running');
  node.assertFree(COMING.uid, NAME);
});

test('a VM comes once the creation of one of its name has failed', async () => {
  await using node = await OneNode.open();
  node.hypervisor.fail('define', new AgentError('HYPERVISOR_FAILURE', 'no'));
  const { goOn } = await creating(node);
  await assert.rejects(prepare(node), { reason: 'VM_BUSY' });
  await assert.rejects(goOn(), { reason: 'HYPERVISOR_FAILURE' });
  await prepare(node);
  await assert.rejects(node.create(newRequest('web')), { reason: 'VM_BUSY' });
});

test('a VM does not come if one of its name was created while it was checked', async () => {
  await using node = await OneNode.open();
  await node.inventory.refresh(never);
  const { validator } = node.agent;
  const validate = validator.validateIncoming.bind(validator);
  validator.validateIncoming = async (...check) => {
    await node.create(newRequest('web'));
    await validate(...check);
  };
  await assert.rejects(prepare(node), { reason: 'VM_ALREADY_EXISTS' });
  node.assertFree(COMING.uid, NAME);
});
