import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

test('no placeholder is left in the README', () => {
  const placeholders = readFileSync('README.md', 'utf8').match(/@@[A-Z]+@@/g) ?? [];
  assert.deepEqual([...placeholders], []);
});
