import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasReason } from '../../../src/core/errors.ts';
import { matchesLabels, parseLabelSelector } from '../../../src/core/label-selector.ts';

const labels = { app: 'web', tier: 'front', 'example.com/team': 'a' };

test('selectors in the syntax of Kubernetes choose by labels', () => {
  const cases = {
    '': true,
    'app=web': true,
    'app==web': true,
    'app = web , tier=front': true,
    'app=db': false,
    'app!=db': true,
    'app!=web': false,
    'missing!=x': true,
    'tier in (front, back)': true,
    'tier in (back)': false,
    'tier notin (back)': true,
    'missing notin (back)': true,
    app: true,
    missing: false,
    '!missing': true,
    '!app': false,
    'example.com/team=a': true,
    'app=web,tier in (front,back),!old': true,
  };
  for (const [text, expected] of Object.entries(cases)) {
    assert.equal(matchesLabels(parseLabelSelector(text), labels), expected, text);
  }
});

test('a selector that cannot be read is refused, never taken for everything', () => {
  for (const text of [
    ',',
    'app=web,',
    'a b',
    '=x',
    'tier in front',
    'tier in (a',
    'app>1',
    'a=b=c',
  ]) {
    assert.throws(
      () => parseLabelSelector(text),
      (error) => hasReason(error, 'INVALID_REQUEST'),
      text,
    );
  }
});

test('a label named like a property of every object is not found where it is not set', () => {
  assert.equal(matchesLabels(parseLabelSelector('constructor'), labels), false);
});
