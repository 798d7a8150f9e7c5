import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MigrationPhase } from '../../src/client/api.ts';
import { PATIENCE_MS, SLOW } from '../e2e/moving-vm.ts';
import { type Stage, storyteller } from '../e2e/stories.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';

const SOME_BYTES = 1_000_000n;
/** The guest's kernel takes an NMI for a reason to begin anew at once, by itself. */
const PARAMETERS = 'demo.rate=300 unknown_nmi_panic panic=-1';

test('a guest that reboots while it moves runs on one node, from its beginning', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, context.signal, { parameters: PARAMETERS });
  const story = storyteller(context, nodes, vm);

  await story('early, and it moves as it is then', async (stage) => {
    const { signal, epoch } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    await reboot(stage);
    await untilBegun(stage);
    using anew = vm.watch();
    await migration.reach(MigrationPhase.MIGRATION_PHASE_COPYING, signal);
    await migration.unleash(signal);
    await migration.expectCompleted(signal);
    await anew.expectArrived(b, signal);
    await vm.expectOnlyAt(b, epoch + 1n, signal);
    await nodes.expectNothingLeft(signal);
  });

  await story('and the migration is cancelled then, so it stays', async (stage) => {
    const { signal, epoch } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    await reboot(stage);
    await migration.cancel(signal);
    const { status } = await migration.end(signal);
    assert.equal(status?.phase, MigrationPhase.MIGRATION_PHASE_CANCELLED, status?.message);
    await untilBegun(stage);
    using anew = vm.watch();
    await anew.expectStayed(a, signal);
    await vm.expectOnlyAt(a, epoch, signal);
    await nodes.expectNothingLeft(signal);
  });

  await story('near the end', async (stage) => {
    const { signal, epoch } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    await Promise.all([migration.unleash(signal), reboot(stage)]);
    await migration.expectCompleted(signal);
    // Wherever it was when it began anew.
    await stage.seen
      .console(b)
      .waitFor(
        'A check of all memory on node b',
        PATIENCE_MS,
        () => stage.seen.console(b).passes.length >= 2,
        signal,
      );
    assert.equal(stage.seen.console(b).bad, 0);
    await vm.expectOnlyAt(b, epoch + 1n, signal);
    await nodes.expectNothingLeft(signal);
  });
});

/** Past libvirt, which lets nobody do this while it migrates. */
async function reboot({ nodes: { a }, vm, signal }: Stage): Promise<void> {
  await a.libvirt.virsh(['qemu-monitor-command', vm.uid, '--hmp', 'nmi'], signal);
}

/** The guest has begun anew on node a since the story began. */
async function untilBegun({ nodes: { a }, seen, signal }: Stage): Promise<void> {
  const here = seen.console(a);
  await here.waitFor('The guest to begin anew', PATIENCE_MS, () => here.ready, signal);
}
