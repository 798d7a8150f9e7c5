import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEjected, withEjected } from '../../../../src/core/ejected-media.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import { never, ROOT, type TestNode, TwoNodes } from './two-nodes.ts';

const CD_PATH = '/srv/images/installer.iso';
const CD: Volume = {
  name: 'setup',
  kind: 'cdrom',
  cache: 'none',
  shared: true,
  source: { file: { path: CD_PATH } },
};

const open = () => TwoNodes.open({}, { volumes: [ROOT, CD] });

async function opened(): Promise<TwoNodes> {
  const nodes = await open();
  const { domains } = nodes.source.hypervisor;
  await domains.define(withEjected(nodes.vm, CD.name, CD_PATH), never);
  return nodes;
}

/** What the agent of a node is asked to understand. */
function recordRequired({ agent }: TestNode, unknown: readonly string[] = []): string[][] {
  const required: string[][] = [];
  const { incoming } = agent;
  const handshake = incoming.handshake.bind(incoming);
  incoming.handshake = async (request, ...rest) => {
    required.push([...request.requiredFeatures]);
    if (request.requiredFeatures.some((feature) => unknown.includes(feature))) {
      throw new AgentError('PEER_INCOMPATIBLE', `This agent does not know ${unknown.join()}`);
    }
    return await handshake(request, ...rest);
  };
  return required;
}

test('what its guest has ejected stays out at the destination, which must know of it', async () => {
  using nodes = await opened();
  const { destination, vm } = nodes;
  const required = recordRequired(destination);
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
  assert.deepEqual(required, [['ejected-media']]);
  const { definition } = (await destination.hypervisor.domains.find(vm.uid, never)) ?? {};
  assert.ok(definition);
  assert.ok(isEjected(definition, CD));
});

test('where an agent would put it in again, its VM does not go', async () => {
  using nodes = await opened();
  const { source, destination, vm, spec } = nodes;
  recordRequired(destination, ['ejected-media']);
  const { blockers } = await source.agent.migrations.plan(spec, never);
  assert.deepEqual(
    blockers.map(({ reason, nodeName }) => [reason, nodeName]),
    [['PEER_INCOMPATIBLE', 'b']],
  );
  await assert.rejects(nodes.start(), { reason: 'PEER_INCOMPATIBLE' });
  assert.equal((await source.find(vm.uid))?.state, 'running');
  assert.equal(await destination.find(vm.uid), undefined);
});

test('a VM whose guest has ejected nothing goes there too', async () => {
  using nodes = await open();
  const required = recordRequired(nodes.destination, ['ejected-media']);
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
  assert.deepEqual(required, [[]]);
});
