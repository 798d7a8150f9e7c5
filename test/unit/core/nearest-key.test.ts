import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nearestKey } from '../../../src/core/nearest-key.ts';

test('a mistyped key finds the one that was meant', () => {
  const known = ['nodeName', 'socket', 'listen', 'logLevel'];
  assert.equal(nearestKey('nodename', known), 'nodeName');
  assert.equal(nearestKey('soket', known), 'socket');
  assert.equal(nearestKey('log_level', known), 'logLevel');
});

test('a key that resembles nothing finds nothing', () => {
  assert.equal(nearestKey('frobnicate', ['nodeName', 'socket']), undefined);
});
