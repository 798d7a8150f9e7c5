import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fieldChanges } from '../../../../src/core/resources/field-changes.ts';

test('what is equal has no changes, and a key without a value is no key', () => {
  assert.deepEqual(fieldChanges({ a: [1, { b: 2 }], c: undefined }, { a: [1, { b: 2 }] }), []);
});

test('changes are named as deep as both sides go', () => {
  const before = { spec: { cpu: { model: 'a' }, memory: '1Gi' } };
  const after = { spec: { cpu: { model: 'b', topology: { cores: 2 } } } };
  assert.deepEqual(fieldChanges(before, after), [
    { field: 'spec.cpu.model', before: 'a', after: 'b' },
    { field: 'spec.cpu.topology', before: undefined, after: { cores: 2 } },
    { field: 'spec.memory', before: '1Gi', after: undefined },
  ]);
});

test('items of a list are compared by their names', () => {
  const before = { volumes: [{ name: 'root', cache: 'none' }, { name: 'data' }] };
  const after = { volumes: [{ name: 'new' }, { name: 'root', cache: 'writeback' }] };
  assert.deepEqual(fieldChanges(before, after), [
    { field: 'volumes[0]', before: undefined, after: { name: 'new' } },
    { field: 'volumes[1].cache', before: 'none', after: 'writeback' },
    { field: 'volumes[1]', before: { name: 'data' }, after: undefined },
  ]);
});

test('another order of the same items is a change of the list', () => {
  const [one, two] = [{ name: 'one' }, { name: 'two' }];
  assert.deepEqual(fieldChanges({ volumes: [one, two] }, { volumes: [two, one] }), [
    { field: 'volumes', before: [one, two], after: [two, one] },
  ]);
});

test('keys that are no words are quoted', () => {
  assert.deepEqual(fieldChanges({ labels: { 'a/b': 'x' } }, { labels: { 'a/b': 'y' } }), [
    { field: 'labels["a/b"]', before: 'x', after: 'y' },
  ]);
});
