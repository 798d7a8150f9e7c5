import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isoImage } from '../../../src/core/iso-image.ts';

/* Whether others can read such an image is tried with isoinfo and with a guest; here only what they would not tell. */

test('an image depends on nothing but what is in it', () => {
  const files = { 'user-data': Buffer.from('a'), 'meta-data': Buffer.from('b') };
  const turned = { 'meta-data': Buffer.from('b'), 'user-data': Buffer.from('a') };
  assert.deepEqual(isoImage('cidata', files), isoImage('cidata', turned));
  assert.notDeepEqual(isoImage('cidata', files), isoImage('config-2', files));
});

test('an image has whole sectors, also with empty files and with none', () => {
  for (const files of [
    {},
    { a: Buffer.alloc(0) },
    { a: Buffer.alloc(2048), b: Buffer.alloc(2049) },
  ]) {
    const image = isoImage('x', files);
    assert.equal(image.length % 2048, 0);
    assert.equal(image.readUInt32LE(16 * 2048 + 80), image.length / 2048);
  }
});

test('names that would not be found are refused, and so are more files than fit', () => {
  for (const name of ['', '/a', 'a/', 'a//b', '../a', 'a/./b', 'a b', 'a/'.repeat(9)]) {
    assert.throws(() => isoImage('x', { [name]: Buffer.alloc(1) }), /No name/, name);
  }
  const both = { a: Buffer.alloc(1), 'a/b': Buffer.alloc(1) };
  assert.throws(() => isoImage('x', both), /No name/);
  const many = Array.from({ length: 60 }, (_, at) => [`file-${at}`, Buffer.alloc(1)] as const);
  assert.throws(() => isoImage('x', Object.fromEntries(many)), /Too many files/);
});
