import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { renderReference } from '../../../lab/reference/render-reference.ts';

test('the reference says what the schema says', () => {
  const written = readFileSync('docs/reference/virtual-machine.md', 'utf8');
  assert.equal(written, renderReference(), 'run: npm run generate');
});

test('every field of the schema is described', () => {
  const undescribed = renderReference()
    .split('\n')
    .filter((line) => /^\| `.*\|  \|$/.test(line));
  assert.deepEqual(undescribed, []);
});
