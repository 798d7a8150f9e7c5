import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KEY_NAMES, keyCodeOf } from '../../../src/core/key-names.ts';

test('keys have the codes of input-event-codes.h', () => {
  const expected = {
    esc: 1,
    1: 2,
    0: 11,
    tab: 15,
    q: 16,
    enter: 28,
    ctrl: 29,
    a: 30,
    shift: 42,
    z: 44,
    slash: 53,
    alt: 56,
    space: 57,
    f1: 59,
    f10: 68,
    f11: 87,
    f12: 88,
    sysrq: 99,
    home: 102,
    up: 103,
    down: 108,
    delete: 111,
    meta: 125,
  };
  for (const [name, code] of Object.entries(expected)) assert.equal(keyCodeOf(name), code, name);
  assert.equal(keyCodeOf('CTRL'), 29);
  assert.equal(new Set(KEY_NAMES.map(keyCodeOf)).size, KEY_NAMES.length);
});

test('numbers of two and three digits are codes themselves', () => {
  assert.equal(keyCodeOf('10'), 10);
  assert.equal(keyCodeOf('255'), 255);
  for (const wrong of ['256', '999', '1000', '-1', '00', '', 'key', '1e2', '١٠']) {
    assert.equal(keyCodeOf(wrong), undefined, wrong);
  }
});
