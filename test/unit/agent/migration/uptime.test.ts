import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVERYTHING } from '../../../../src/core/label-selector.ts';
import { never, type TestNode, TwoNodes } from './two-nodes.ts';

async function runningSinceOn({ agent }: TestNode): Promise<number | undefined> {
  await agent.inventory.refresh(never);
  const [vm] = agent.inventory.list({ namespace: '', labels: EVERYTHING });
  return vm?.runningSinceMs;
}

test('a guest that was moved has been on for as long as before, and one of which nobody knows since it came', async () => {
  for (const isKnown of [true, false]) {
    const beforeMs = Date.now();
    using nodes = await TwoNodes.open();
    const { source, destination, vm } = nodes;
    if (!isKnown) source.hypervisor.forgetStart(vm.uid);
    const sinceMs = await runningSinceOn(source);
    assert.equal(sinceMs !== undefined, isKnown);
    await nodes.start();
    assert.equal((await nodes.ended()).phase, 'completed');
    const after = await runningSinceOn(destination);
    if (isKnown) assert.equal(after, sinceMs);
    else assert.ok((after ?? 0) >= beforeMs, `since ${after}`);
  }
});
