import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Journal } from '../../../../src/agent/journal/journal.ts';

const web = { uid: 'u-1', namespace: 'default', name: 'web', ownershipEpoch: 3, left: undefined };

test('ownership comes back as it was put and is gone once removed', () => {
  using journal = Journal.inMemory();
  const left = { ...web, left: { epoch: 4, toNode: 'node-b' }, ownershipEpoch: 4 };
  journal.vms.put(web);
  assert.deepEqual(journal.vms.put(left), left);
  assert.deepEqual(journal.vms.list(), [left]);
  journal.vms.remove('u-1');
  journal.vms.remove('u-1');
  assert.equal(journal.vms.find('u-1'), undefined);
});

test('a lower epoch never replaces a higher one', () => {
  using journal = Journal.inMemory();
  journal.vms.put(web);
  assert.deepEqual(journal.vms.put({ ...web, ownershipEpoch: 2, name: 'stale' }), web);
  assert.deepEqual(journal.vms.find('u-1'), web);
});
