import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WatchCursor } from '../../../../src/agent/reports/report.ts';
import { EVERYTHING, never, newRequest, OneNode } from './one-node.ts';

/** What a watch tells until it is up to date, and the cursor that it then leaves. */
async function watchUntilSynced(node: OneNode, from?: WatchCursor, filter = EVERYTHING) {
  const told: string[] = [];
  for await (const event of node.inventory.watch(filter, from, never)) {
    const subject = 'object' in event ? ` ${event.object.definition.name}` : '';
    told.push(event.type + subject);
    if (event.type === 'synced') return { told, cursor: event.origin };
  }
  throw new Error('The watch has ended');
}

test('a watch that goes on from a cursor is told when it is up to date', async () => {
  await using node = await OneNode.open();
  await node.create(newRequest('web'));
  const { cursor } = await watchUntilSynced(node);
  await node.create(newRequest('db', { runStrategy: 'Halted' }));
  assert.deepEqual((await watchUntilSynced(node, cursor)).told, ['added db', 'synced']);
});

test('where nothing has happened since the cursor it is up to date at once, and the cursor stays', async () => {
  await using node = await OneNode.open();
  await node.create(newRequest('web'));
  const { cursor } = await watchUntilSynced(node);
  // Counted for something else than a VM.
  node.origins.next();
  const again = await watchUntilSynced(node, cursor);
  assert.deepEqual(again.told, ['synced']);
  assert.equal(again.cursor.revision, cursor.revision);
});

test('what another namespace has seen since the cursor counts as told', async () => {
  await using node = await OneNode.open();
  await node.create(newRequest('web'));
  const { cursor } = await watchUntilSynced(node);
  await node.create(newRequest('db', { runStrategy: 'Halted' }));
  const elsewhere = { namespace: 'elsewhere', labels: EVERYTHING.labels };
  const { told, cursor: next } = await watchUntilSynced(node, cursor, elsewhere);
  assert.deepEqual(told, ['synced']);
  assert.ok(next.revision > cursor.revision);
});
