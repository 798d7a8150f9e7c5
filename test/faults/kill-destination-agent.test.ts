import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { type Migration, MigrationPhase, MigrationRole } from '../../src/client/api.ts';
import { durationMs } from '../../src/client/time.ts';
import { streamersOf } from '../e2e/leftovers.ts';
import { PATIENCE_MS, SLOW, SLOW_SWITCHOVER } from '../e2e/moving-vm.ts';
import { type Stage, storyteller } from '../e2e/stories.ts';
import { agentPid, driverOf, TwoNodes } from '../e2e/two-nodes.ts';
import { freeze, signalProcess } from '../fixtures/process-signals.ts';

const SOME_BYTES = 1_000_000n;

test('a migration outlives the agent of its destination', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, context.signal);
  const story = storyteller(context, nodes, vm);

  await story(
    'killed with its streamer while it prepares, the VM stays',
    async ({ seen, epoch, signal }) => {
      await using hold = await nodes.holdStreamers(b);
      const migration = await vm.migrate(a, signal);
      await waitUntil(
        'The preparation at node b',
        PATIENCE_MS,
        async () => {
          const { migrations } = await nodes
            .client('b')
            .migrations.list({ activeOnly: true }, { signal });
          return migrations.length > 0;
        },
        signal,
      );
      await b.agent.kill(signal);
      for (const { pid } of streamersOf(b)) signalProcess(pid, 'SIGKILL');
      const message = await migration.expectFailed('PEER_UNREACHABLE', signal);
      assert.match(message, /node b/);
      await hold[Symbol.asyncDispose]();
      await nodes.relaunch(b, signal);
      await nodes.expectNothingLeft(signal);
      await seen.expectStayed(a, signal);
      await vm.expectOnlyAt(a, epoch, signal);
    },
  );

  await story('killed while memory comes, the memory goes on coming', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    await b.agent.kill(signal);
    await migration.unleash(signal);
    await migration.reach(MigrationPhase.MIGRATION_PHASE_CLEANING_UP, signal);
    await nodes.relaunch(b, signal);
    await expectMoved(stage, await migration.expectCompleted(signal));
  });

  await story('killed while the VM switches over, the VM arrives', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW_SWITCHOVER);
    await migration.reach(MigrationPhase.MIGRATION_PHASE_SWITCHING_OVER, signal);
    await b.agent.kill(signal);
    await migration.unleash(signal);
    await migration.reach(MigrationPhase.MIGRATION_PHASE_CLEANING_UP, signal);
    await nodes.relaunch(b, signal);
    await expectMoved(stage, await migration.expectCompleted(signal));
  });

  await story('killed before it has confirmed the arrival, it confirms', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    using _silence = freeze(agentPid(b));
    await migration.unleash(signal);
    await migration.reach(MigrationPhase.MIGRATION_PHASE_CLEANING_UP, signal);
    await b.agent.kill(signal);
    await nodes.relaunch(b, signal);
    await expectMoved(stage, await migration.expectCompleted(signal));
  });

  await story('its libvirt driver process killed while memory comes', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    signalProcess(driverOf(b).pid, 'SIGKILL');
    await migration.unleash(signal);
    await expectMoved(stage, await migration.expectCompleted(signal));
  });

  await story('ended in good order while memory comes, its successor has the VM', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    await b.agent.stop(signal);
    await migration.unleash(signal);
    await migration.reach(MigrationPhase.MIGRATION_PHASE_CLEANING_UP, signal);
    await nodes.relaunch(b, signal);
    await expectMoved(stage, await migration.expectCompleted(signal));
  });
});

async function expectMoved(stage: Stage, { id, status }: Migration): Promise<void> {
  const { nodes, vm, seen, epoch, signal } = stage;
  const downtime = status?.result?.downtime;
  assert.ok(downtime !== undefined && durationMs(downtime) > 0, 'no downtime');
  await seen.expectArrived(nodes.b, signal);
  await vm.expectOnlyAt(nodes.b, epoch + 1n, signal);
  await nodes.expectNothingLeft(signal);
  // Both sides tell the same.
  const there = await nodes.client('b').migrations.get(id, { signal });
  assert.equal(there.status?.phase, MigrationPhase.MIGRATION_PHASE_COMPLETED);
  assert.equal(there.status.role, MigrationRole.MIGRATION_ROLE_DESTINATION);
}
