import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pageOf } from '../../../../src/agent/reports/paging.ts';
import type { Page } from '../../../../src/agent/reports/report.ts';

const origin = { nodeName: 'node-a', nodeBootId: 'boot', agentEpoch: 1, revision: 1 };

function page(
  sorted: readonly string[],
  size: number,
  token = '',
  filter: unknown = { color: 'red' },
): Page<string> {
  return pageOf(
    sorted,
    { size, token },
    { keyOf: (name) => name, isAfter: (key, other) => key > other, filter, origin },
  );
}

/** All pages one after the other; `between` may change what there is. */
function readAll(
  sorted: string[],
  size: number,
  between: () => void = () => {},
): readonly (readonly string[])[] {
  const pages: (readonly string[])[] = [];
  let token = '';
  do {
    const { items, nextToken } = page(sorted, size, token);
    pages.push(items);
    token = nextToken;
    between();
  } while (token !== '');
  return pages;
}

test('size 0 means all, without a next page', () => {
  assert.deepEqual(page(['a', 'b', 'c'], 0), { items: ['a', 'b', 'c'], nextToken: '', origin });
});

test('pages follow one another, and the last has no token', () => {
  assert.deepEqual(readAll(['a', 'b', 'c', 'd', 'e'], 2), [['a', 'b'], ['c', 'd'], ['e']]);
  assert.deepEqual(readAll(['a', 'b', 'c', 'd'], 2), [
    ['a', 'b'],
    ['c', 'd'],
  ]);
  assert.deepEqual(readAll([], 2), [[]]);
});

test('the next page may have another size', () => {
  const { nextToken } = page(['a', 'b', 'c', 'd'], 1);
  assert.deepEqual(page(['a', 'b', 'c', 'd'], 0, nextToken).items, ['b', 'c', 'd']);
});

test('an object that goes takes no other one with it, not even the last of a page', () => {
  const sorted = ['a', 'b', 'c', 'd', 'e'];
  const pages = readAll(sorted, 2, () => {
    const last = sorted.indexOf('b');
    if (last !== -1) sorted.splice(last, 1);
  });
  assert.deepEqual(pages, [['a', 'b'], ['c', 'd'], ['e']]);
});

test('an object that comes is seen after the place that was reached, and not before it', () => {
  const sorted = ['b', 'd', 'f'];
  let come = ['a', 'e'];
  const pages = readAll(sorted, 2, () => {
    sorted.push(...come);
    sorted.sort();
    come = [];
  });
  assert.deepEqual(pages, [
    ['b', 'd'],
    ['e', 'f'],
  ]);
});

test('a token of a list that has become empty ends it', () => {
  const { nextToken } = page(['a', 'b'], 1);
  assert.deepEqual(page([], 1, nextToken), { items: [], nextToken: '', origin });
});

const refused = {
  reason: 'INVALID_REQUEST',
  violations: [{ field: 'pageToken', description: 'belongs to another list, or to none' }],
};

test('a token of another filter is refused', () => {
  const { nextToken } = page(['a', 'b'], 1);
  assert.throws(() => page(['a', 'b'], 1, nextToken, { color: 'blue' }), refused);
});

for (const [what, text] of [
  ['is no JSON', 'a'],
  ['is none of an object', 'null'],
  ['lacks all', '{}'],
  ['lacks the filter', '{"after":"a"}'],
  ['has another kind of key', '{"after":1,"filter":""}'],
] as const) {
  test(`a token that ${what} is refused`, () => {
    const token = Buffer.from(text).toString('base64url');
    assert.throws(() => page(['a', 'b'], 1, token), refused);
  });
}

test('a token that is no token at all is refused', () => {
  assert.throws(() => page(['a', 'b'], 1, '!?'), refused);
});
