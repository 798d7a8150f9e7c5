import assert from 'node:assert/strict';
import { test } from 'node:test';
import { never, TwoNodes } from '../migration/two-nodes.ts';
import { DRAIN, HOOKS } from './hooked-node.ts';

test('a migration is no stop and no start: neither node runs anything', async () => {
  using nodes = await TwoNodes.open({}, { lifecycle: HOOKS });
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
  const { source, destination } = nodes;
  assert.deepEqual([source.hooks.begun, destination.hooks.begun], [[], []]);
});

test('a node that would not run the hooks of a VM is none to move it to, which is said before', async () => {
  using nodes = await TwoNodes.open({}, { lifecycle: HOOKS });
  const { source, destination } = nodes;
  destination.hooks.setProblem(DRAIN, 'it does not exist; put it there');
  const { blockers } = await source.agent.migrations.plan(nodes.spec, never);
  assert.deepEqual(
    blockers.map(({ reason, subject }) => [reason, subject]),
    [['HOOK_NOT_ALLOWED', 'spec.template.spec.lifecycle.preStop.exec.command[0]']],
  );
  assert.match(
    blockers[0]?.message ?? '',
    /drain, which is not run on this node: it does not exist; put/,
  );
  await assert.rejects(nodes.start(), { reason: 'HOOK_NOT_ALLOWED' });
  assert.equal((await source.find(nodes.vm.uid))?.state, 'running');
});
