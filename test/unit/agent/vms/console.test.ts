import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConsoleReader } from '../../../../src/drivers/console.ts';
import { never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

/** A console on which there is something, and after that what was written until it is over. */
const CONSOLE: ConsoleReader = {
  async *read(_path, { followUntil }) {
    yield Buffer.from('booted');
    if (followUntil === undefined) return;
    const over = Promise.withResolvers<void>();
    followUntil.addEventListener('abort', () => over.resolve());
    if (followUntil.aborted) over.resolve();
    await over.promise;
    yield Buffer.from('bye');
  },
};

/** A node with a VM that runs, and what its console says to one who follows it. */
async function startFollowing() {
  const node = await OneNode.open({ console: CONSOLE });
  const request = newRequest('web', { runStrategy: 'Manual' });
  await node.create(request);
  await node.vms.start(refOf(request), never);
  const options = { tailBytes: 0, follow: true };
  const pieces = node.vms.readConsole(refOf(request), options, never)[Symbol.asyncIterator]();
  assert.equal(String((await pieces.next()).value), 'booted');
  const last = pieces.next();
  let isOver = false;
  void last.then(() => {
    isOver = true;
  });
  return {
    node,
    request,
    isOver: () => isOver,
    /** Resolves once it has ended. */
    async end() {
      assert.equal(String((await last).value), 'bye');
      assert.equal((await pieces.next()).done, true);
    },
    [Symbol.asyncDispose]: () => node[Symbol.asyncDispose](),
  };
}

test('a console that is followed ends when the VM is off', async () => {
  await using following = await startFollowing();
  await following.node.vms.destroy(refOf(following.request), never);
  await following.end();
});

test('a console that is followed ends when the guest powers off by itself', async () => {
  await using following = await startFollowing();
  const { node, request } = following;
  node.hypervisor.stopGuest(uidOf(request));
  await node.inventory.refresh(never);
  await following.end();
});

test('a console that is followed ends when the VM is gone', async () => {
  await using following = await startFollowing();
  await following.node.vms.delete(refOf(following.request), { force: true }, never);
  await following.end();
});

test('a console that is followed goes on while nobody knows whether the VM runs', async () => {
  await using following = await startFollowing();
  const { node, request } = following;
  node.hypervisor.disconnect();
  await assert.rejects(node.inventory.refresh(never), { reason: 'HYPERVISOR_UNREACHABLE' });
  node.hypervisor.reconnect();
  await node.inventory.refresh(never);
  assert.equal(following.isOver(), false);
  await node.vms.destroy(refOf(request), never);
  await following.end();
});
