import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { type Migration, MigrationPhase } from '../../src/client/api.ts';
import { durationMs } from '../../src/client/time.ts';
import { PATIENCE_MS, SLOW, SLOW_SWITCHOVER } from '../e2e/moving-vm.ts';
import { type Stage, storyteller } from '../e2e/stories.ts';
import { agentPid, driverOf, TwoNodes } from '../e2e/two-nodes.ts';
import { freeze, signalProcess } from '../fixtures/process-signals.ts';

const SOME_BYTES = 1_000_000n;

test('a migration outlives the agent of its source', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, context.signal);
  const story = storyteller(context, nodes, vm);

  await story(
    'killed while it prepares, it undoes and says so',
    async ({ seen, epoch, signal }) => {
      await using hold = await nodes.holdStreamers(a);
      const migration = await vm.migrate(a, signal);
      await migration.reach(MigrationPhase.MIGRATION_PHASE_PREPARING, signal);
      await a.agent.kill(signal);
      await hold[Symbol.asyncDispose]();
      await nodes.relaunch(a, signal);
      const message = await migration.expectFailed('MIGRATION_FAILED', signal);
      assert.match(message, /interrupted while it was being prepared/);
      await nodes.expectNothingLeft(signal);
      await seen.expectStayed(a, signal);
      await vm.expectOnlyAt(a, epoch, signal);
    },
  );

  await story('killed while it copies, the copying goes on', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    await a.agent.kill(signal);
    assert.match(await a.libvirt.virsh(['domjobinfo', vm.uid], signal), /Outgoing migration/);
    await migration.unleash(signal);
    await nodes.relaunch(a, signal);
    expectResult(await migration.expectCompleted(signal));
    await expectMoved(stage);
  });

  await story('killed while it switches over, the VM arrives', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW_SWITCHOVER);
    await migration.reach(MigrationPhase.MIGRATION_PHASE_SWITCHING_OVER, signal);
    await a.agent.kill(signal);
    await migration.unleash(signal);
    await nodes.relaunch(a, signal);
    expectResult(await migration.expectCompleted(signal));
    await expectMoved(stage);
  });

  await story('killed while it cleans up, its successor finishes that', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    {
      using _silence = freeze(agentPid(b));
      await migration.unleash(signal);
      await migration.reach(MigrationPhase.MIGRATION_PHASE_CLEANING_UP, signal);
      await a.agent.kill(signal);
    }
    await nodes.relaunch(a, signal);
    expectResult(await migration.expectCompleted(signal));
    await expectMoved(stage);
  });

  await story('its libvirt driver process killed while it copies, it follows on', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    signalProcess(driverOf(a).pid, 'SIGKILL');
    await waitUntil(
      'The agent to see the VM again',
      PATIENCE_MS,
      async () => (await a.agent.httpGet('/readyz', signal)).status === 200,
      signal,
    );
    await migration.unleash(signal);
    expectResult(await migration.expectCompleted(signal));
    await expectMoved(stage);
  });

  await story(
    'ended in good order while it copies, its successor tells the result',
    async (stage) => {
      const { signal } = stage;
      const migration = await vm.migrate(a, signal, SLOW);
      await migration.reachBytes(SOME_BYTES, signal);
      await a.agent.stop(signal);
      await migration.unleash(signal);
      await waitUntil(
        'The VM to arrive while nobody looks',
        PATIENCE_MS,
        async () => (await vm.state(a, signal)) === undefined,
        signal,
      );
      await nodes.relaunch(a, signal);
      expectResult(await migration.expectCompleted(signal));
      await expectMoved(stage);
    },
  );
});

async function expectMoved({ nodes, vm, seen, epoch, signal }: Stage): Promise<void> {
  await seen.expectArrived(nodes.b, signal);
  await vm.expectOnlyAt(nodes.b, epoch + 1n, signal);
  await nodes.expectNothingLeft(signal);
}

/** Figures that are known must be right also when nobody was there to see them. */
function expectResult({ status }: Migration): void {
  const result = status?.result;
  assert.ok(result !== undefined);
  assert.ok(result.wireBytes >= SOME_BYTES, `${result.wireBytes} bytes on the wire`);
  assert.ok(result.iterations >= 1);
  assert.ok(result.downtime !== undefined && durationMs(result.downtime) > 0, 'no downtime');
  assert.ok(result.totalTime !== undefined && durationMs(result.totalTime) > 0);
}
