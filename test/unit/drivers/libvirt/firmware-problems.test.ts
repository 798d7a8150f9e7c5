import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nvramProblems } from '../../../../src/drivers/libvirt/firmware-problems.ts';

test('a libvirt that cannot make variables anew is named, and one that need not is not', () => {
  const reset = { type: 'uefi', nvram: 'reset' } as const;
  const [problem, ...others] = nvramProblems(7_000_000, reset);
  assert.deepEqual([problem?.part, others], ['nvram', []]);
  assert.match(problem?.description ?? '', /from 8\.1\.0 on, and this node has 7\.0\.0/);
  assert.deepEqual(nvramProblems(8_001_000, reset), []);
  assert.deepEqual(nvramProblems(7_000_000, { type: 'uefi', nvram: 'keep' }), []);
});
