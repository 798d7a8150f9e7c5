import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partedCpus } from '../../../../src/agent/node/parted-cpus.ts';

const ONLINE = [0, 1, 2, 3];

test('CPUs are parted in those that are set apart and the rest', () => {
  assert.deepEqual(partedCpus('2-3', ONLINE), { dedicated: [2, 3], shared: [0, 1] });
  assert.equal(partedCpus('', ONLINE), undefined);
});

test('CPUs that are not there cannot be set apart, nor all of them', () => {
  assert.throws(() => partedCpus('3-5', ONLINE), {
    reason: 'INVALID_CONFIG',
    message: /names 4-5, which this node does not have online; its CPUs are 0-3/,
  });
  assert.throws(() => partedCpus('0-3', ONLINE), {
    reason: 'INVALID_CONFIG',
    message: /leaves none for the host/,
  });
});
