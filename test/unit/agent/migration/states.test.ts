import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canMove, isFinal } from '../../../../src/agent/migration/states.ts';

test('nothing has been copied before copying, so nothing can switch over', () => {
  assert.equal(canMove('preparing', 'switching-over'), false);
  assert.equal(canMove('preparing', 'cleaning-up'), false);
});

test('a VM that runs at the destination can neither fail nor be cancelled any more', () => {
  assert.equal(canMove('cleaning-up', 'failed'), false);
  assert.equal(canMove('cleaning-up', 'cancelled'), false);
  assert.equal(canMove('cleaning-up', 'completed'), true);
});

test('a migration that has ended stays as it ended', () => {
  for (const phase of ['completed', 'failed', 'cancelled'] as const) {
    assert.equal(isFinal(phase), true);
    assert.equal(canMove(phase, 'copying'), false);
  }
});
