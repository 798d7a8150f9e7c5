import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Peers } from '../../../../src/agent/migration/peers.ts';
import { VmLocator } from '../../../../src/agent/vms/vm-locator.ts';
import type { VmPeer, VmSighting } from '../../../../src/agent/vms/vm-peers.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { until } from '../../../fixtures/until.ts';
import { TwoNodes } from '../migration/two-nodes.ts';
import { never, newRequest, OneNode, uidOf } from './one-node.ts';

type Locate = VmPeer['locate'];

const says =
  (sighting: Partial<VmSighting>): Locate =>
  async () => ({
    presence: 'absent',
    isOwner: false,
    isRunning: false,
    ownershipEpoch: 0,
    ...sighting,
  });
const isSilent: Locate = async () => {
  throw new AgentError('PEER_UNREACHABLE', 'It is off');
};

const isOld: Locate = async () => {
  throw new AgentError('PEER_INCOMPATIBLE', 'It does not know this call');
};
const hangs: Locate = () => new Promise<never>(() => {});

const nobody = () => assert.fail('Nobody is looked for by name');

/** Other nodes, by what they do when they are asked for a VM. */
function peersThat(locate: Readonly<Record<string, Locate>>): Peers {
  const list = () =>
    Object.entries(locate).map(
      ([nodeName, answer]): VmPeer => ({
        nodeName,
        locate: answer,
        handOver: () => Promise.reject(new Error('Nobody asks for that')),
      }),
    );
  return { list, find: nobody, visit: nobody };
}

async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await nextTurn();
}

const openNode = (locate: Readonly<Record<string, Locate>>) =>
  OneNode.open({ peers: peersThat(locate) });

const REFUSED = /^(VM_BUSY|VM_ALREADY_EXISTS)$/;
const OPTIONS = { dryRun: false, reservationId: undefined };

test('a VM that another node has is not made, also not by apply, and that node is named', async () => {
  await using node = await openNode({ b: says({}), c: says({ presence: 'held' }), d: isSilent });
  const request = newRequest();
  const refused = {
    reason: 'VM_ALREADY_EXISTS',
    metadata: { vmId: uidOf(request), nodeName: 'c' },
    message: /node c has a VM with uid/,
  };
  await assert.rejects(node.create(request), refused);
  await assert.rejects(node.create(request, { dryRun: true }), refused);
  const apply = { dryRun: false, updateMask: undefined, generation: undefined };
  await assert.rejects(node.vms.apply(request, apply, never), refused);
  await node.assertNothingOf(request);
});

test('a VM that is about to be on another node is not made for now', async () => {
  await using node = await openNode({ b: says({ presence: 'coming' }) });
  const request = newRequest();
  await assert.rejects(node.create(request), {
    reason: 'VM_BUSY',
    metadata: { vmId: uidOf(request), nodeName: 'b' },
    retryAfterMs: 1_000,
  });
  await node.assertNothingOf(request);
});

test('nodes that could not be asked are named, and keep nothing from being made', async () => {
  const peers = { b: isSilent, c: says({}), d: says({ presence: 'unknown' }), e: isOld };
  await using node = await openNode(peers);
  const request = newRequest();
  const { vm, warnings } = await node.vms.create(request, OPTIONS, never);
  assert.equal(vm.phase, 'running');
  assert.equal(warnings.length, 1);
  assert.match(warnings[0] ?? '', /^Node b, d, e could not be asked whether it has a VM with uid/);
});

test('nobody is asked about a uid that is new, an epoch that was assigned, or by a node of itself', async () => {
  let asked = 0;
  const locate: Locate = async () => {
    asked += 1;
    return { presence: 'held', isOwner: true, isRunning: true, ownershipEpoch: 1 };
  };
  await using node = await openNode({ a: locate });
  await node.create(newRequest('one'));
  await using other = await openNode({ b: locate });
  const request = newRequest('two');
  await other.create(request, { ownershipEpoch: 2 });
  const { uid: _, ...metadata } = newRequest('three').metadata;
  await other.create({ ...request, metadata });
  assert.equal(asked, 0);
});

test('a node that never answers holds nothing up for longer than it may', async () => {
  const locator = new VmLocator({
    nodeName: 'a',
    peers: peersThat({ b: hangs, c: says({}), d: hangs }),
    askTimeoutMs: 20,
    log: createLogger('silent'),
  });
  const answers = await locator.ask(randomUUID(), never);
  assert.deepEqual(
    answers.map(({ presence }) => presence),
    ['unknown', 'absent', 'unknown'],
  );
});

test('a creation that is given up while others are asked leaves nothing', async () => {
  let asked = false;
  const locate: Locate = (...question) => {
    asked = true;
    return hangs(...question);
  };
  await using node = await openNode({ b: locate });
  const request = newRequest();
  const stop = new AbortController();
  const creating = node.create(request, { signal: stop.signal });
  const failed = assert.rejects(creating, { message: 'enough' });
  await until('it asks', () => asked);
  stop.abort(new Error('enough'));
  await failed;
  await node.assertNothingOf(request);
});

test('of two nodes that make the same VM at the same time not both do', async () => {
  const nodes: OneNode[] = [];
  /** How many turns of the event loop a question of each node takes there, and its answer back. */
  let way = [0, 0];
  const askNode =
    (index: number): Locate =>
    async (vmUid, signal) => {
      await turns(way[index] ?? 0);
      const { ownershipManager } = nodes[index]?.agent ?? assert.fail();
      const sighting = await ownershipManager.locate(vmUid, 'other', signal);
      await turns(way[1 - index] ?? 0);
      return sighting;
    };
  await using one = await openNode({ other: askNode(1) });
  await using two = await openNode({ other: askNode(0) });
  nodes.push(one, two);
  for (let round = 0; round < 64; round++) {
    way = [round % 8, Math.floor(round / 8)];
    const request = newRequest(`vm-${round}`, { runStrategy: 'Manual' });
    const results = await Promise.allSettled(nodes.map((node) => node.create(request)));
    for (const result of results) {
      if (result.status === 'rejected') assert.match(result.reason.reason, REFUSED);
    }
    const copies = nodes.map(({ hypervisor }) => hypervisor.domains.find(uidOf(request), never));
    const count = (await Promise.all(copies)).filter((copy) => copy !== undefined).length;
    assert.ok(count < 2, 'both have made it');
  }
  const request = newRequest('later');
  await one.create(request);
  await assert.rejects(two.create(request), { reason: 'VM_ALREADY_EXISTS' });
});

test('what is being made or is arriving counts as coming, and a stale copy as nothing', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, vm } = nodes;
  const locate = async () => {
    const { presence } = await destination.agent.ownershipManager.locate(vm.uid, 'c', never);
    return presence;
  };
  assert.equal(await locate(), 'absent');
  {
    using _lock = destination.agent.locks.tryAcquire(vm.uid, 'create');
    assert.equal(await locate(), 'coming');
  }
  await nodes.copying();
  assert.equal(await locate(), 'coming');
  source.hypervisor.manualProgress = false;
  source.hypervisor.advance(vm.uid);
  await nodes.ended();
  assert.equal(await locate(), 'held');
  await destination.hypervisor.domains.destroy(vm.uid, never);
  await destination.agent.ownership.release(vm, 3, 'c');
  assert.equal(await locate(), 'absent');
});
