import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import type { Logger } from '../../../../src/core/logger.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import { recordedLog } from '../../../fakes/recorded-log.ts';
import { until } from '../../../fixtures/until.ts';
import { never, ROOT, type TestNode, TwoNodes } from './two-nodes.ts';

type Nodes = TwoNodes;

const settle = ({ source: { agent }, id }: Nodes) =>
  agent.migrations.settle({ id, offNode: 'b', saidBy: 'operator' }, never);
const settleThere = ({ destination: { agent }, id }: Nodes) =>
  agent.migrations.settle({ id, offNode: 'a', saidBy: 'operator' }, never);

/** Neither of the two nodes of the migration hears of the other. */
function part({ source, destination }: Nodes, parted = true): void {
  for (const [node, other] of [
    [source, destination],
    [destination, source],
  ] as const) {
    if (parted) node.parted.add(other.name);
    else node.parted.delete(other.name);
  }
}

const waits = ({ source, id }: Nodes) =>
  until('it says what can be done', async () => {
    const { message } = await source.agent.migrations.get(id);
    return message.includes(`novactl migration settle ${id} --node-is-off b`);
  });

const arrived = ({ destination, id }: Nodes) =>
  until('it has arrived', () => destination.record(id)?.phase === 'completed');

/** A VM that has arrived at b, of which a has not heard: it waits. */
async function waiting({
  before,
  ...options
}: {
  readonly log?: Logger;
  readonly volumes?: Volume[];
  readonly before?: (nodes: Nodes) => Promise<void>;
} = {}): Promise<Nodes> {
  const nodes = await TwoNodes.open({}, { volumes: [], ...options });
  await before?.(nodes);
  nodes.source.hypervisor.switchoverEnd = 'reply-lost-held';
  const goOn = await nodes.switchingOver();
  part(nodes);
  goOn();
  await waits(nodes);
  await arrived(nodes);
  nodes.source.hypervisor.switchoverEnd = 'well';
  await nodes.destination.agent.inventory.refresh(never);
  return nodes;
}

async function boot(node: TestNode): Promise<void> {
  await node.boot();
  await node.agent.inventory.refresh(never);
}

async function assertOnlyRunsOn(node: TestNode, others: readonly TestNode[], uid: string) {
  assert.equal((await node.find(uid))?.state, 'running', `on ${node.name}`);
  for (const other of others) {
    const state = (await other.find(uid))?.state ?? 'stopped';
    assert.equal(state, 'stopped', `on ${other.name}`);
  }
}

test('a VM that has moved on from a destination that is off for good is not taken back, but given up for good', async () => {
  using nodes = await waiting();
  const { source, destination, vm, id } = nodes;
  const third = await nodes.addThird();
  await source.powerOff();
  await settleThere(nodes);
  await nodes.move(destination, third);
  await destination.powerOff();
  await boot(source);
  await waits(nodes);
  await assert.rejects(settle(nodes), {
    reason: 'MIGRATION_NOT_WAITING',
    message: /node c has the VM since epoch 4/,
  });
  assert.equal((await nodes.ended()).phase, 'completed');
  await assertOnlyRunsOn(third, [source], vm.uid);
  assert.equal((await source.ownership()).find(vm.uid)?.left?.toNode, 'c');
  assert.equal(source.record(id)?.otherNodeOff, undefined);
});

test('a VM that its source has taken back and moved on is lost to a destination that comes back, whatever is said there', async () => {
  using nodes = await waiting();
  const { source, destination, vm } = nodes;
  const third = await nodes.addThird();
  await destination.powerOff();
  await settle(nodes);
  assert.equal((await nodes.ended()).reason, 'MIGRATION_FAILED');
  await source.agent.inventory.refresh(never);
  await nodes.move(source, third);
  await source.powerOff();
  destination.parted.add('c');
  await boot(destination);
  const ref = { namespace: vm.namespace, name: vm.name, uid: undefined };
  await until('it waits', () =>
    destination.agent.vms.start(ref, never).then(
      () => assert.fail('It was started'),
      (error: Error) => /has not said yet/.test(error.message),
    ),
  );
  destination.parted.delete('c');
  await assert.rejects(settleThere(nodes), {
    reason: 'MIGRATION_NOT_WAITING',
    message: /node c has the VM since epoch 5|does not wait|has ended/,
  });
  await until('it knows', async () => !(await destination.ownership()).isOwner(vm.uid));
  await assert.rejects(destination.agent.vms.start(ref, never), { reason: 'VM_NOT_OWNED' });
  await assertOnlyRunsOn(third, [destination], vm.uid);
});

test('what its source has given up it does not take back, though a copy is left that the hypervisor does not remove', async () => {
  using nodes = await waiting();
  const { source, destination, vm, id } = nodes;
  const third = await nodes.addThird();
  const dies = new AgentError('HYPERVISOR_TIMEOUT', 'It does not die');
  source.hypervisor.fail('destroy', dies, Number.POSITIVE_INFINITY);
  part(nodes, false);
  await until('it has given the VM up', async () => (await source.ownership()).isStale(vm));
  await until('it is confirmed', async () => {
    await destination.agent.inventory.refresh(never);
    return (await destination.ownership()).unconfirmed(vm.uid) === undefined;
  });
  await nodes.move(destination, third);
  await destination.powerOff();
  source.parted.add('c');
  await until('it says why', async () => {
    const { message } = await source.agent.migrations.get(id);
    return message.includes('It does not die') && !message.includes('settle');
  });
  await assert.rejects(settle(nodes), {
    reason: 'MIGRATION_NOT_WAITING',
    message: /given up to node b/,
  });
  source.hypervisor.fail('destroy', dies, 0);
  assert.equal((await nodes.ended()).phase, 'completed');
  await assertOnlyRunsOn(third, [source], vm.uid);
});

test('nodes that do not answer are named in the audit log, and the word counts all the same', async () => {
  const { log, text } = recordedLog();
  using nodes = await waiting({ log });
  const { source, vm } = nodes;
  const third = await nodes.addThird();
  await third.powerOff();
  await settle(nodes);
  assert.equal((await nodes.ended()).reason, 'MIGRATION_FAILED');
  assert.equal((await source.ownership()).find(vm.uid)?.ownershipEpoch, 3);
  assert.match(text(), /"unasked":\["c"\].*off for good by the word/);
});

test('of two nodes that were each told that the other is off, one goes on once they hear of each other', async () => {
  using nodes = await waiting();
  const { source, destination, vm } = nodes;
  await settleThere(nodes);
  await settle(nodes);
  assert.equal((await nodes.ended()).reason, 'MIGRATION_FAILED');
  await destination.agent.inventory.refresh(never);
  assert.equal((await destination.find(vm.uid))?.state, 'running');
  part(nodes, false);
  await until('the power of the older copy is cut', async () => {
    await destination.agent.inventory.refresh(never);
    return (await destination.find(vm.uid))?.state === 'stopped';
  });
  await assertOnlyRunsOn(source, [destination], vm.uid);
});

test('a source that knows nothing of the VM any more has not given it up; whoever makes sure of that may say so', async () => {
  using nodes = await waiting();
  const { source, destination, vm } = nodes;
  await destination.powerOff();
  await settle(nodes);
  assert.equal((await nodes.ended()).reason, 'MIGRATION_FAILED');
  const ref = { namespace: vm.namespace, name: vm.name, uid: undefined };
  await source.agent.inventory.refresh(never);
  await source.agent.vms.delete(ref, { force: true }, never);
  // Later than deleted VMs are remembered.
  await source.agent.ownership.restore(vm.uid, undefined);
  part(nodes, false);
  await boot(destination);
  const starting = () =>
    destination.agent.vms.start(ref, never).then(
      () => assert.fail('It was started'),
      (error: Error) => error.message,
    );
  await until('it says why', async () => /knows nothing of it any more/.test(await starting()));
  assert.equal((await destination.find(vm.uid))?.state, 'stopped');
  await settleThere(nodes);
  await destination.agent.vms.start(ref, never);
  assert.equal((await destination.find(vm.uid))?.state, 'running');
});

test('a source that answers and does not say what has become of the VM is no silent one, and what to do about it is said', async () => {
  using nodes = await waiting();
  const { source, destination, vm, id } = nodes;
  await source.powerOff();
  await source.boot();
  part(nodes, false);
  destination.wire.onCall = (method) => {
    if (method === 'locate') {
      throw new AgentError('PERMISSION_DENIED', 'Nodes are not let in here');
    }
  };
  source.wire.unreachable = true;
  await assert.rejects(settleThere(nodes), {
    reason: 'MIGRATION_NOT_WAITING',
    message: /Nodes are not let in here.*take a out of `peers`/,
  });
  assert.notEqual((await destination.ownership()).unconfirmed(vm.uid), undefined);
  assert.equal(destination.record(id)?.otherNodeOff, undefined);
});

const startOf = async ({ agent }: TestNode, { namespace, name }: Nodes['vm']) => {
  await agent.vms.start({ namespace, name, uid: undefined }, never);
};

test('a destination that has lost its records asks who has the VM before it starts it, and goes on asking', async () => {
  using nodes = await waiting();
  const { source, destination, vm } = nodes;
  await destination.powerOff();
  await settle(nodes);
  assert.equal((await nodes.ended()).reason, 'MIGRATION_FAILED');
  await destination.ownershipStore.restore(vm.uid, undefined);
  await destination.boot();
  await assert.rejects(startOf(destination, vm), { reason: 'VM_BUSY' });
  await until('it says why', () =>
    startOf(destination, vm).then(
      () => assert.fail('It was started'),
      ({ message }: Error) => /record .* was lost.* a has not said.*`peers`/.test(message),
    ),
  );
  const { blockers } = await destination.agent.migrations.plan(
    { ...nodes.spec, destinationNode: 'a' },
    never,
  );
  assert.ok(blockers.some(({ message }) => /was lost/.test(message)));
  assert.equal((await destination.find(vm.uid))?.state, 'stopped');
  part(nodes, false);
  await until('it knows', async () => !(await destination.ownership()).isOwner(vm.uid));
  await assert.rejects(startOf(destination, vm), { reason: 'VM_NOT_OWNED' });
  await assertOnlyRunsOn(source, [destination], vm.uid);
});

test('a node that has lost its records, and knows of no other node, starts its VMs', async () => {
  using nodes = await waiting();
  const { source, destination, vm } = nodes;
  await source.powerOff();
  await destination.powerOff();
  await destination.ownershipStore.restore(vm.uid, undefined);
  await destination.boot();
  await until('it says why', () =>
    startOf(destination, vm).then(
      () => assert.fail('It was started'),
      ({ message }: Error) => /record .* was lost/.test(message),
    ),
  );
  // As the message says.
  destination.agent.life.kill();
  destination.connect();
  await boot(destination);
  await until('it is recorded', async () => {
    return (await destination.ownership()).unconfirmed(vm.uid) === undefined;
  });
  await startOf(destination, vm);
  assert.equal((await destination.find(vm.uid))?.state, 'running');
});

test('a VM that has never moved is started without its record, whoever is silent', async () => {
  using nodes = await TwoNodes.open({}, { volumes: [] });
  const { source, destination, vm } = nodes;
  const owner = source.hypervisor.hostUuid;
  await source.hypervisor.domains.setFacts(vm.uid, { owner }, never);
  await destination.powerOff();
  await source.powerOff();
  await source.ownershipStore.restore(vm.uid, undefined);
  await boot(source);
  await until('it is recorded', async () => (await source.ownership()).isOwner(vm.uid));
  await startOf(source, vm);
});

for (const [what, remember] of [
  [
    '',
    ({ agent }: TestNode, { vm }: Nodes) => agent.ownership.forget({ ...vm, ownershipEpoch: 9 }),
  ],
  [
    ' that it gave to the source',
    ({ agent }: TestNode, { vm }: Nodes) => agent.ownership.release(vm, 9, 'a'),
  ],
  [
    ' that it gave to the destination',
    ({ agent }: TestNode, { vm }: Nodes) => agent.ownership.release(vm, 9, 'b'),
  ],
] as const) {
  test(`a third node that remembers an earlier VM of the uid${what} takes nothing from anybody, and keeps a word from being believed`, async () => {
    using nodes = await waiting();
    const { source, destination, vm } = nodes;
    const third = await nodes.addThird();
    await third.agent.ownership.own({ ...vm, ownershipEpoch: 9 });
    await remember(third, nodes);
    const known = /node c has known the VM with epoch 9.*`peers`/;
    await assert.rejects(settle(nodes), { message: known });
    await assert.rejects(settleThere(nodes), { message: known });
    assert.equal((await source.ownership()).isOwner(vm.uid), true);
    part(nodes, false);
    assert.equal((await nodes.ended()).phase, 'completed');
    assert.equal((await destination.ownership()).isOwner(vm.uid), true);
    await assertOnlyRunsOn(destination, [source], vm.uid);
  });
}

/** The VM goes from one node to the next, and is at the last in the end. */
async function travel(nodes: Nodes, ...way: readonly TestNode[]): Promise<void> {
  for (const [index, to] of way.slice(1).entries()) {
    const from = way[index];
    assert.ok(from !== undefined);
    await nodes.move(from, to);
    await until('it is confirmed', async () => {
      await to.agent.inventory.refresh(never);
      return (await to.ownership()).unconfirmed(nodes.vm.uid) === undefined;
    });
  }
}

test('a node that once gave the VM to its source is no rival of it', async () => {
  using nodes = await waiting({
    before: async (two) => travel(two, two.source, await two.addThird(), two.source),
  });
  await nodes.destination.powerOff();
  await settle(nodes);
  assert.equal((await nodes.ended()).reason, 'MIGRATION_FAILED');
  await assertOnlyRunsOn(nodes.source, [nodes.destination], nodes.vm.uid);
});

test('a node that once gave the VM to its destination is no rival of it', async () => {
  using nodes = await waiting({
    before: async (two) => {
      const { source, destination } = two;
      await travel(two, source, await two.addThird(), destination, source);
    },
  });
  const { source, destination, vm } = nodes;
  await source.powerOff();
  await settleThere(nodes);
  assert.equal((await destination.ownership()).isSettled(vm.uid), true);
  await assertOnlyRunsOn(destination, [source], vm.uid);
});

test('a node that has lost its records starts what others have given it, and know they have', async () => {
  using nodes = await TwoNodes.open({}, { volumes: [] });
  const { source, destination, vm } = nodes;
  await travel(nodes, source, destination);
  await destination.powerOff();
  await destination.ownershipStore.restore(vm.uid, undefined);
  await boot(destination);
  await until('it is started', () =>
    startOf(destination, vm).then(
      () => true,
      () => false,
    ),
  );
  await assertOnlyRunsOn(destination, [source], vm.uid);
});

test('of two nodes that were each told that the other is off, one may have moved the VM on, and that copy goes on alone', async () => {
  using nodes = await waiting();
  const { source, destination, vm } = nodes;
  const third = await nodes.addThird();
  source.parted.add('c');
  third.parted.add('a');
  await settleThere(nodes);
  await nodes.move(destination, third);
  await settle(nodes);
  assert.equal((await nodes.ended()).reason, 'MIGRATION_FAILED');
  assert.equal((await source.find(vm.uid))?.state, 'running');
  part(nodes, false);
  source.parted.delete('c');
  await until('the power of the older copy is cut', async () => {
    await source.agent.inventory.refresh(never);
    return (await source.find(vm.uid))?.state === 'stopped';
  });
  await assertOnlyRunsOn(third, [source, destination], vm.uid);
});

test('what was taken back by a word is confirmed once the other node is back, and has heard of it', async () => {
  using nodes = await waiting();
  const { source, destination, vm } = nodes;
  await destination.powerOff();
  await settle(nodes);
  assert.equal((await nodes.ended()).reason, 'MIGRATION_FAILED');
  assert.notEqual((await source.ownership()).unheardOf(vm.uid), undefined);
  part(nodes, false);
  await boot(destination);
  await until('it is', async () => {
    await source.agent.inventory.refresh(never);
    return (await source.ownership()).unheardOf(vm.uid) === undefined;
  });
  await assertOnlyRunsOn(source, [destination], vm.uid);
});

test('a guest that was taken back and is kept still by a copy elsewhere is given up once that is heard of', async () => {
  using nodes = await waiting({ volumes: [ROOT] });
  const { source, destination, vm, id } = nodes;
  const third = await nodes.addThird([ROOT]);
  await settleThere(nodes);
  await nodes.move(destination, third);
  await destination.powerOff();
  source.parted.add('c');
  await settle(nodes);
  await until('it says why', async () => {
    return (await source.agent.migrations.get(id)).message.startsWith('It is held still');
  });
  source.parted.delete('c');
  assert.equal((await nodes.ended()).phase, 'completed');
  await assertOnlyRunsOn(third, [source, destination], vm.uid);
  assert.deepEqual(nodes.storage.violations, []);
});
