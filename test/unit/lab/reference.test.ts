import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { withGeneratedSection } from '../../../lab/reference/generated-section.ts';
import { renderReference, renderSupport } from '../../../lab/reference/render-reference.ts';
import { parseVirtualMachine } from '../../../src/core/resources/parse-virtual-machine.ts';
import { checkSupport } from '../../../src/core/resources/support.ts';
import { virtualMachine } from '../../../src/core/resources/virtual-machine.ts';
import { SPECIFICATION_EXAMPLE } from '../../fixtures/manifests.ts';

const api = readFileSync('docs/api.md', 'utf8');

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

test('the page of the API lists what the schema says is refused', () => {
  assert.equal(api, withGeneratedSection(api, renderSupport()), 'run: npm run generate');
});

test('a page without a place for what is generated is not written', () => {
  assert.throws(() => withGeneratedSection('# A page', 'text'), /once each/);
});

test('the page of the API shows what is refused of a manifest that asks for everything', () => {
  const shown = /```yaml\n(.*?)```/s.exec(api)?.[1] ?? '';
  assert.deepEqual(parse(shown), SPECIFICATION_EXAMPLE);
  const { refused } = checkSupport(virtualMachine, parseVirtualMachine(SPECIFICATION_EXAMPLE));
  const [first, ...others] = refused.map(({ field, description }) => ({ field, description }));
  assert.ok(api.includes(`Cannot accept VM "web-server": ${first?.field} ${first?.description}`));
  const listed = others.map(({ field, description }) => `  ${field}: ${description}\n`).join('');
  const [, after = ''] = api.split(`(NOT_SUPPORTED)\n${listed}`);
  // What a node does not run is up to its configuration.
  assert.match(after, /^( {2}spec\.template\.spec\.lifecycle\.\S+: is .*\n){2}What to do:/, listed);
});
