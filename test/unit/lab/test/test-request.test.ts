import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LabError } from '../../../../lab/core/project.ts';
import { FAST, NAMED_SUITES, RARE_SUITES } from '../../../../lab/test/suites.ts';
import { parseTestRequest } from '../../../../lab/test/test-request.ts';

test('without words the fast suite runs once', () => {
  assert.deepEqual(parseTestRequest([]), { suites: [FAST], paths: [], repeat: 1, busy: 0 });
});

const ALL = [FAST, ...NAMED_SUITES];

test('all is the fast suite and every named one', () => {
  assert.deepEqual(parseTestRequest(['all']).suites, ALL);
});

test('what is run by its name alone is no part of all', () => {
  for (const suite of RARE_SUITES) {
    assert.deepEqual(parseTestRequest([suite.name]).suites, [suite]);
    assert.ok(!ALL.includes(suite));
  }
});

test('paths without a suite are looked for in all of them', () => {
  const request = parseTestRequest(['--path', 'faults/']);
  assert.deepEqual(request.suites, [...ALL, ...RARE_SUITES]);
});

test('a suite, paths and numbers are taken in any order', () => {
  const args = ['--repeat', '20', 'fast', '--path', 'unit/', '--busy=2', '--path', 'contract/'];
  assert.deepEqual(parseTestRequest(args), {
    suites: [FAST],
    paths: ['unit/', 'contract/'],
    repeat: 20,
    busy: 2,
  });
});

test('a word that is no suite is refused, and the way to choose by path is told', () => {
  assert.throws(() => parseTestRequest(['unit/core']), /no suite unit\/core[^]*--path unit\/core/);
});

test('what makes no sense is refused', () => {
  const nonsense = [
    ['fast', 'streamer'],
    ['--repeat', '0'],
    ['--busy', '-1'],
    ['--busy', '1.5'],
    ['--repeat', 'often'],
    ['--slow'],
    ['--path'],
  ];
  for (const args of nonsense) assert.throws(() => parseTestRequest(args), LabError);
});
