import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { macOf, macProblem } from '../../../../src/core/resources/mac-address.ts';

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
const UID = '6f1a3c52-8f0e-4c47-9d5e-0d7c51b1a001';

test('what an address is derived to never changes: guests know their interfaces by it', () => {
  assert.equal(macOf(UID, { name: 'lan' }), '02:01:0b:3f:38:af');
  assert.equal(macOf(UID, { name: 'wan' }), '02:32:93:76:fc:93');
});

test('an address that was given is the address', () => {
  assert.equal(macOf(UID, { name: 'lan', mac: '52:54:00:00:00:01' }), '52:54:00:00:00:01');
});

test('an address that is derived is one that may be given, and another for another VM and another network', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.uuid(), label, label, (uid, other, name, wan) => {
      const mac = macOf(uid, { name });
      assert.equal(macProblem(mac), undefined);
      assert.equal(mac, macOf(uid, { name }));
      if (uid !== other) assert.notEqual(mac, macOf(other, { name }));
      if (name !== wan) assert.notEqual(mac, macOf(uid, { name: wan }));
    }),
  );
});
