import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { MigrationSpec } from '../../../../src/agent/migration/migration.ts';
import type { VmDefinition } from '../../../../src/core/vm-definition.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { never, TwoNodes } from './two-nodes.ts';

/** As many as a node sends at once. */
const AT_ONCE = 12;

interface Moving {
  readonly id: string;
  readonly vm: VmDefinition;
}

/** VMs that run on the source, with a migration for each that is yet to be started. */
async function manyVms(nodes: TwoNodes, count: number): Promise<readonly Moving[]> {
  const { hypervisor, agent } = nodes.source;
  const moving = Array.from({ length: count }, (_, index) => ({
    id: randomUUID(),
    vm: tinyVm({ name: `web-${index}` }),
  }));
  for (const { id, vm } of moving) {
    nodes.route(id);
    await agent.ownership.own(vm);
    await hypervisor.domains.define(vm, never);
    await hypervisor.domains.start(vm.uid, never);
  }
  await agent.inventory.refresh(never);
  return moving;
}

function startAll(
  nodes: TwoNodes,
  moving: readonly Moving[],
  changes: Partial<MigrationSpec> = {},
): Promise<unknown> {
  return Promise.all(
    moving.map(({ id, vm: { namespace, name } }) =>
      nodes.source.agent.migrations.start(
        {
          id,
          spec: { ...nodes.spec, ...changes, vm: { namespace, name, uid: undefined } },
          labels: {},
          requestedBy: 'tester',
        },
        never,
      ),
    ),
  );
}

/** Nothing but records is left of any, and each VM that moved runs on the destination alone. */
async function assertMoved(nodes: TwoNodes, moving: readonly Moving[]): Promise<void> {
  const { source, destination } = nodes;
  for (const node of [source, destination]) {
    const { transfers, agent, name } = node;
    await until(`node ${name} has ended its migrations`, () =>
      node.records().every(({ endedAtMs }) => endedAtMs !== undefined),
    );
    await until(`node ${name} has no transfers`, async () => {
      return (await transfers.list(never)).length === 0;
    });
    for (const { vm } of moving) {
      await until(`node ${name} has unlocked ${vm.name}`, () => !agent.locks.purposeOf(vm.uid));
      await until(`node ${name} has freed the memory of ${vm.name}`, () => {
        return agent.capacity.findHolding(vm.namespace, vm.name) === undefined;
      });
    }
  }
  for (const { id, vm } of moving) {
    for (const node of [source, destination]) assert.equal(node.record(id)?.phase, 'completed');
    assert.equal(await source.find(vm.uid), undefined, `${vm.name} has a copy at its source`);
    const arrived = await destination.find(vm.uid);
    assert.equal(arrived?.state, 'running');
    assert.equal(arrived.definition?.ownershipEpoch, vm.ownershipEpoch + 1);
  }
}

test('of 20 VMs that are to move at once the last wait for their turn and say so, all arrive, and nothing is left', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination } = nodes;
  const moving = await manyVms(nodes, 20);
  const { promise, resolve: goOn } = Promise.withResolvers<void>();
  source.hypervisor.switchoverGate = promise;
  await startAll(nodes, moving);
  const isAhead = ({ id }: Moving): boolean => source.record(id)?.phase === 'switching-over';
  await until('as many as may switch over', () => moving.filter(isAhead).length === AT_ONCE);
  const { capacity } = destination.agent;
  for (const one of moving) {
    const { namespace, name } = one.vm;
    const holds = capacity.findHolding(namespace, name) !== undefined;
    assert.equal(holds, isAhead(one), `memory that is kept for ${name}`);
    const { message } = await source.agent.migrations.get(one.id);
    assert.equal(
      /^Waiting for its turn: this node sends 12 VMs at once, and \d+ others/.test(message),
      !isAhead(one),
      message,
    );
  }
  const waiting = moving.filter((one) => !isAhead(one));
  // One that waits can be called off like any other.
  const [last] = waiting;
  assert.ok(last);
  await source.agent.migrations.cancel(last.id);
  await until('it has been called off', () => source.record(last.id)?.phase === 'cancelled');
  assert.equal((await source.find(last.vm.uid))?.state, 'running');
  goOn();
  await until('all of them have ended', () =>
    moving.every(({ id }) => source.record(id)?.endedAtMs !== undefined),
  );
  await assertMoved(
    nodes,
    moving.filter((one) => one !== last),
  );
  // Who did not ask to move has not.
  assert.equal((await source.find(nodes.vm.uid))?.state, 'running');
});

test('of VMs that move at once, those that fail stay and hold up none of the others', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination } = nodes;
  const moving = await manyVms(nodes, AT_ONCE);
  source.hypervisor.manualProgress = true;
  await startAll(nodes, moving);
  await until('all of them copy', async () => {
    const there = await destination.hypervisor.domains.list(never);
    return moving.every(({ vm }) =>
      there.some(({ uid, state }) => uid === vm.uid && state === 'incoming'),
    );
  });
  const lost = moving.filter((_, index) => index % 4 === 0);
  const well = moving.filter((_, index) => index % 4 !== 0);
  for (const { id } of lost) source.transfers.fail(id, 'The link is down');
  await until('the lost ones have ended', () =>
    lost.every(({ id }) => source.record(id)?.endedAtMs !== undefined),
  );
  for (const { id, vm } of lost) {
    assert.deepEqual(
      [source.record(id)?.phase, source.record(id)?.reason],
      ['failed', 'STREAM_FAILED'],
    );
    assert.equal((await source.find(vm.uid))?.state, 'running');
    await until('the destination has let go', async () => {
      return (await destination.find(vm.uid)) === undefined;
    });
  }
  await until('the others have ended', () => {
    for (const { vm } of well) source.hypervisor.advance(vm.uid);
    return well.every(({ id }) => source.record(id)?.endedAtMs !== undefined);
  });
  await assertMoved(nodes, well);
});

test('those that wait for their turn when the agent is killed wait on, behind those that are under way, and move then', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination } = nodes;
  const moving = await manyVms(nodes, 16);
  const { promise, resolve: goOn } = Promise.withResolvers<void>();
  source.hypervisor.switchoverGate = promise;
  await startAll(nodes, moving);
  const isAhead = ({ id }: Moving): boolean => source.record(id)?.phase === 'switching-over';
  await until('as many as may switch over', () => moving.filter(isAhead).length === AT_ONCE);
  const [cancelled, ...waiting] = moving.filter((one) => !isAhead(one));
  assert.ok(cancelled);
  for (const round of [1, 2]) {
    source.agent.life.kill();
    await until('the agent is back', () => !source.agent.life.killed);
    for (const { id } of waiting) {
      await until(`it waits again (${round})`, async () => {
        return (await source.agent.migrations.get(id)).message.startsWith('Waiting for its turn');
      });
      assert.equal(source.record(id)?.phase, 'preparing');
      assert.equal(destination.record(id), undefined, 'nothing is begun there');
    }
  }
  await source.agent.migrations.cancel(cancelled.id);
  await until('it is called off', () => source.record(cancelled.id)?.phase === 'cancelled');
  // The guest of one goes off meanwhile: that is found once its turn has come.
  const [off, ...well] = waiting;
  assert.ok(off);
  source.hypervisor.stopGuest(off.vm.uid, 'shutdown');
  goOn();
  await until('all have ended', () =>
    moving.every(({ id }) => source.record(id)?.endedAtMs !== undefined),
  );
  assert.equal(source.record(off.id)?.reason, 'VM_NOT_RUNNING');
  await assertMoved(nodes, [
    ...moving.filter((one) => !waiting.includes(one) && one !== cancelled),
    ...well,
  ]);
});

test('the time that a migration may take does not run while it waits for its turn, in this life of the agent or the next', async () => {
  using nodes = await TwoNodes.open();
  const { source } = nodes;
  const [last, ...others] = (await manyVms(nodes, AT_ONCE + 1)).toReversed();
  assert.ok(last);
  const { promise, resolve: goOn } = Promise.withResolvers<void>();
  source.hypervisor.switchoverGate = promise;
  await startAll(nodes, others);
  await until('no turn is free', () =>
    others.every(({ id }) => source.record(id)?.phase === 'switching-over'),
  );
  // Would be over before it had begun.
  await startAll(nodes, [last], { timeoutMs: 1 });
  const isLate = () => Date.now() > (source.record(last.id)?.startedAtMs ?? Infinity) + 50;
  await until('its time would be over', isLate);
  source.agent.life.kill();
  await until('the agent is back', () => !source.agent.life.killed);
  await until('it waits again', async () => {
    return (await source.agent.migrations.get(last.id)).message.startsWith('Waiting for its turn');
  });
  assert.equal(source.record(last.id)?.endedAtMs, undefined);
  source.hypervisor.manualProgress = true;
  goOn();
  await until('it has ended', () => source.record(last.id)?.endedAtMs !== undefined);
  const { reason, turnAtMs = 0, endedAtMs = 0, startedAtMs = 0 } = source.record(last.id) ?? {};
  assert.equal(reason, 'MIGRATION_TIMEOUT');
  assert.ok(turnAtMs > startedAtMs + 50 && endedAtMs >= turnAtMs);
});

test('copies that an earlier agent has begun count as under way', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination } = nodes;
  const moving = await manyVms(nodes, AT_ONCE + 1);
  const [late] = moving.slice(AT_ONCE);
  assert.ok(late);
  const early = moving.slice(0, AT_ONCE);
  const { promise, resolve: goOn } = Promise.withResolvers<void>();
  source.hypervisor.switchoverGate = promise;
  await startAll(nodes, early);
  await until('they are under way', () =>
    early.every(({ id }) => source.record(id)?.phase === 'switching-over'),
  );
  source.agent.life.kill();
  await until('the agent is back', () => !source.agent.life.killed);
  await source.agent.inventory.refresh(never);
  await startAll(nodes, [late]);
  await until('it waits', async () => {
    return (await source.agent.migrations.get(late.id)).message.startsWith('Waiting for its turn');
  });
  assert.equal(destination.record(late.id), undefined);
  goOn();
  await until('all have ended', () =>
    moving.every(({ id }) => source.record(id)?.endedAtMs !== undefined),
  );
  await assertMoved(nodes, moving);
});
