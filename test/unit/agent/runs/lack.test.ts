import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lackOf } from '../../../../src/agent/runs/lack.ts';

for (const [resource, lack] of [
  ['memory', 'memory'],
  ['dedicated-cpus', 'cpus'],
  ['hugepages-1Gi', 'hugepages'],
  ['hugepages', 'hugepages'],
] as const) {
  test(`a VM that was refused for want of ${resource} waits for ${lack}`, () => {
    const metadata = { resource };
    assert.equal(lackOf({ reason: 'NODE_CAPACITY_EXCEEDED', metadata }), lack);
  });
}

test('a VM that was refused for another reason waits for nothing of its node', () => {
  assert.equal(lackOf({ reason: 'VM_BUSY', metadata: { resource: 'memory' } }), undefined);
});
