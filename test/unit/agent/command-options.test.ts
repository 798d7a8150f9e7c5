import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isQuestion } from '../../../src/agent/command-options.ts';

test('what is only asked of the program needs no libvirt', () => {
  for (const word of ['--version', '--help', '--check']) {
    assert.equal(isQuestion(['--config', 'agent.yaml', word]), true);
  }
  assert.equal(isQuestion(['--config', 'agent.yaml']), false);
  assert.equal(isQuestion([]), false);
});
