import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { MigrationPhase } from '../../src/client/api.ts';
import { streamersOf } from '../e2e/leftovers.ts';
import { type MigrationUnderTest, PATIENCE_MS, SLOW, SLOW_SWITCHOVER } from '../e2e/moving-vm.ts';
import { type Stage, storyteller } from '../e2e/stories.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';
import { freeze } from '../fixtures/process-signals.ts';

const TOO_LATE = { reason: 'MIGRATION_PAST_SWITCHOVER' };

test('a migration is stopped when that is possible, and refused when not', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, context.signal);
  const story = storyteller(context, nodes, vm);

  await story('while it is prepared and the transfer hangs', async (stage) => {
    const { signal } = stage;
    await using _hold = await nodes.holdStreamers(a);
    const migration = await vm.migrate(a, signal);
    await migration.cancel(signal);
    await expectCancelled(stage, migration);
  });

  await story('while node b hangs in its preparation', async (stage) => {
    const { signal } = stage;
    await using _hold = await nodes.holdStreamers(b);
    const migration = await vm.migrate(a, signal);
    await migration.cancel(signal);
    await expectCancelled(stage, migration);
  });

  await story("while node b's libvirt hangs as it is asked to take the VM", async (stage) => {
    const { signal } = stage;
    const hold = await nodes.holdStreamers(a);
    const migration = await vm.migrate(a, signal);
    await waitUntil('Node b to wait', PATIENCE_MS, () => streamersOf(b).length > 0, signal);
    {
      using _stuck = freeze(b.libvirt.findPid());
      await hold[Symbol.asyncDispose]();
      await migration.reach(MigrationPhase.MIGRATION_PHASE_COPYING, signal);
      await migration.cancel(signal);
      const { status } = await migration.end(signal);
      assert.equal(status?.phase, MigrationPhase.MIGRATION_PHASE_CANCELLED, status?.message);
    }
    await expectCancelled(stage, migration);
  });

  await story('as soon as it copies', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reach(MigrationPhase.MIGRATION_PHASE_COPYING, signal);
    await migration.cancel(signal);
    await expectCancelled(stage, migration);
  });

  await story('late and twice, and it can be migrated again', async (stage) => {
    const { signal, seen, epoch } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(3_000_000n, signal);
    await Promise.all([migration.cancel(signal), migration.cancel(signal)]);
    await expectCancelled(stage, migration);
    const again = await migration.cancel(signal);
    assert.equal(again.status?.phase, MigrationPhase.MIGRATION_PHASE_CANCELLED);

    const next = await vm.migrate(a, signal);
    await next.expectCompleted(signal);
    await seen.expectArrived(b, signal);
    await vm.expectOnlyAt(b, epoch + 1n, signal);
    await assert.rejects(next.cancel(signal), TOO_LATE);
    await vm.expectOnlyAt(b, epoch + 1n, signal);
  });

  await story('not any more while it switches over', async (stage) => {
    const { signal, seen, epoch } = stage;
    const migration = await vm.migrate(a, signal, SLOW_SWITCHOVER);
    await migration.reach(MigrationPhase.MIGRATION_PHASE_SWITCHING_OVER, signal);
    await assert.rejects(migration.cancel(signal), TOO_LATE);
    await migration.unleash(signal);
    await migration.expectCompleted(signal);
    await seen.expectArrived(b, signal);
    await vm.expectOnlyAt(b, epoch + 1n, signal);
  });

  await story('by its timeout', async ({ signal, seen, epoch }) => {
    const migration = await vm.migrate(a, signal, { ...SLOW, timeoutMs: 2_000 });
    await migration.expectFailed('MIGRATION_TIMEOUT', signal);
    await nodes.expectNothingLeft(signal);
    await seen.expectStayed(a, signal);
    await vm.expectOnlyAt(a, epoch, signal);
  });
});

async function expectCancelled(stage: Stage, migration: MigrationUnderTest): Promise<void> {
  const { nodes, vm, seen, epoch, signal } = stage;
  const { status } = await migration.end(signal);
  assert.equal(status?.phase, MigrationPhase.MIGRATION_PHASE_CANCELLED, status?.message);
  assert.equal(status.reason, 'MIGRATION_CANCELLED');
  await nodes.expectNothingLeft(signal);
  await seen.expectStayed(nodes.a, signal);
  await vm.expectOnlyAt(nodes.a, epoch, signal);
}
