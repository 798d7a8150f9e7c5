import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { Cordon } from '../../../../src/agent/node/cordon.ts';
import { NodeSpecStore } from '../../../../src/agent/node/node-spec-store.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';

const OPEN = { cordon: false, cordonReason: '' };

test('a node of which nobody has said anything takes VMs', async () => {
  using journal = new MemoryJournal();
  const cordon = await Cordon.load(new NodeSpecStore(journal.database));
  assert.deepEqual([cordon.spec, cordon.generation], [OPEN, 1]);
  cordon.assertNotCordoned('VM web');
});

test('a cordoned node says why it takes nothing, also after its agent was killed', async () => {
  using journal = new MemoryJournal();
  const killed = await Cordon.load(new NodeSpecStore(journal.database));
  await killed.update({ cordon: true, cordonReason: 'new disks' }, undefined);
  const cordon = await Cordon.load(new NodeSpecStore(journal.database));
  assert.deepEqual(cordon.spec, { cordon: true, cordonReason: 'new disks' });
  assert.equal(cordon.generation, 2);
  assert.throws(() => cordon.assertNotCordoned('VM web'), {
    reason: 'NODE_CORDONED',
    message:
      'Cannot take VM web: this node is cordoned (new disks); choose another node, or uncordon this one',
  });
  await cordon.update({ cordonReason: '' }, undefined);
  assert.throws(() => cordon.assertNotCordoned('VM web'), /this node is cordoned; choose/);
  await cordon.update({ cordon: false }, 3);
  cordon.assertNotCordoned('VM web');
});

test('only what differs raises the generation', async () => {
  using journal = new MemoryJournal();
  const cordon = await Cordon.load(new NodeSpecStore(journal.database));
  await cordon.update(OPEN, 1);
  await cordon.update({}, 1);
  assert.equal(cordon.generation, 1);
});

test('of two changes of one generation the second is refused, however close they come', async () => {
  using journal = new MemoryJournal();
  const cordon = await Cordon.load(new NodeSpecStore(journal.database));
  const first = cordon.update({ cordon: true }, 1);
  const second = cordon.update({ cordonReason: 'mine' }, 1);
  await first;
  await assert.rejects(second, { reason: 'GENERATION_MISMATCH' });
  assert.deepEqual(cordon.spec, { cordon: true, cordonReason: '' });
});

test('changes of different fields at the same time are both kept', async () => {
  using journal = new MemoryJournal();
  const store = new NodeSpecStore(journal.database);
  const cordon = await Cordon.load(store);
  const changes = [{ cordon: true }, { cordonReason: 'both' }];
  await Promise.all(changes.map((change) => cordon.update(change, undefined)));
  const spec = { cordon: true, cordonReason: 'both' };
  assert.deepEqual(cordon.spec, spec);
  assert.deepEqual(await store.find(), { spec, generation: 3 });
});

test('a change that cannot be written is none', async () => {
  using journal = new MemoryJournal();
  const store = new NodeSpecStore(journal.database);
  const cordon = await Cordon.load(store);
  const put = mock.method(store, 'put', async () => {
    throw new Error('the disk is full');
  });
  await assert.rejects(cordon.update({ cordon: true }, 1), /disk is full/);
  assert.deepEqual([cordon.spec, cordon.generation], [OPEN, 1]);
  put.mock.restore();
  await cordon.update({ cordon: true }, 1);
  assert.equal(cordon.generation, 2);
});
