import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withKnown } from '../../../../src/agent/migration/figures.ts';
import type { MigrationRecord } from '../../../../src/agent/migration/migration-record.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { until } from '../../../fixtures/until.ts';
import { TwoNodes } from './two-nodes.ts';

/** What libvirt counts from the begin of the copying on; see `toJobStatistics` of the fake. */
const ELAPSED_MS = 300;

/** Total time of a migration whose end its source did not see: up to the copying by its record, then by libvirt. */
function measuredMs({ phases, startedAtMs }: MigrationRecord): number {
  const copying = phases.find(({ phase }) => phase === 'copying');
  assert.ok(copying);
  return copying.startedAtMs - startedAtMs + ELAPSED_MS;
}

/** A migration whose source had no agent when it came to its end. */
async function endUnseen(nodes: TwoNodes): Promise<MigrationRecord> {
  const { source, destination, vm } = nodes;
  await nodes.copying();
  source.restarts = false;
  source.agent.life.kill();
  source.hypervisor.manualProgress = false;
  source.hypervisor.advance(vm.uid);
  await until('the VM has arrived', async () => {
    return (await destination.find(vm.uid))?.state === 'running';
  });
  await source.boot();
  return await nodes.ended();
}

/** The hypervisor of the destination has started anew, and knows nothing of jobs that have ended. */
function forgetJobs({ destination }: TwoNodes): void {
  destination.hypervisor.fail('getCompletedJob', new AgentError('VM_NOT_FOUND', 'gone'), 1_000);
}

test('the total time of an end that was seen is that until it was seen', async () => {
  using nodes = await TwoNodes.open();
  await nodes.start();
  const { result, startedAtMs, endedAtMs, phases } = await nodes.ended();
  assert.ok(result?.totalMs !== undefined && endedAtMs !== undefined);
  assert.ok(startedAtMs + result.totalMs >= (phases[1]?.startedAtMs ?? 0));
  assert.ok(startedAtMs + result.totalMs <= endedAtMs);
});

test('the total time has none of the time in which the agent was away', async () => {
  using nodes = await TwoNodes.open();
  const record = await endUnseen(nodes);
  assert.equal(record.result?.totalMs, measuredMs(record));
  assert.equal(record.result.downtimeMs, 20);
  assert.equal(record.result.iterations, 3);
});

test('nor the time for which a destination was silent', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.hypervisor.switchoverEnd = 'reply-lost';
  await nodes.start();
  const record = await nodes.ended();
  assert.equal(record.phase, 'completed');
  assert.equal(record.result?.totalMs, measuredMs(record));
});

test('an agent that is killed once more while it clears away does not count that either', async () => {
  using nodes = await TwoNodes.open();
  const { source } = nodes;
  source.wire.lostCalls.add('release');
  await nodes.start();
  await nodes.reached('cleaning-up');
  source.agent.life.kill();
  source.wire.lostCalls.clear();
  const record = await nodes.ended();
  assert.equal(record.result?.totalMs, measuredMs(record));
});

test('what nobody has measured is unknown, and not 0', async () => {
  using nodes = await TwoNodes.open();
  forgetJobs(nodes);
  const { result } = await endUnseen(nodes);
  assert.deepEqual(result, {
    totalMs: undefined,
    downtimeMs: undefined,
    memoryProcessedBytes: undefined,
    wireBytes: 0n,
    iterations: undefined,
    reconnects: 0,
  });
  const { progress } = await nodes.source.agent.migrations.get(nodes.id);
  assert.deepEqual(
    [progress.fractionDone, progress.memoryProcessedBytes, progress.iteration],
    [1, undefined, undefined],
  );
});

test('a job that ends while its source looks is known by its own figures, whatever the destination knows', async () => {
  using nodes = await TwoNodes.open();
  forgetJobs(nodes);
  await nodes.start();
  const { result } = await nodes.ended();
  assert.deepEqual([result?.downtimeMs, result?.iterations], [20, 3]);
});

test('a transfer that cannot be looked at in the end leaves its counts unknown', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { source, id, vm } = nodes;
  source.transfers.patch(id, { wireBytesSent: 700, reconnects: 2 });
  await until('it has been seen', async () => {
    return (await source.agent.migrations.get(id)).progress.wireBytes === 700n;
  });
  source.transfers.find = async () => undefined;
  source.hypervisor.manualProgress = false;
  source.hypervisor.advance(vm.uid);
  const { result, progress } = await nodes.ended();
  assert.deepEqual([result?.wireBytes, result?.reconnects], [undefined, undefined]);
  assert.equal(progress?.wireBytes, undefined);
});

test('a journal that is full for a while loses no count of the transfer', async () => {
  using nodes = await TwoNodes.open();
  const { source, id } = nodes;
  const { migrationStore } = source;
  const update = migrationStore.update.bind(migrationStore);
  let refusals = 2;
  migrationStore.update = async (record) => {
    if (record.phase === 'completed' && refusals-- > 0)
      throw new AgentError('STORAGE_FULL', 'full');
    return await update(record);
  };
  await nodes.copying();
  source.transfers.patch(id, { wireBytesSent: 700, reconnects: 2 });
  source.hypervisor.manualProgress = false;
  source.hypervisor.advance(nodes.vm.uid);
  const { result } = await nodes.ended();
  assert.deepEqual([result?.wireBytes, result?.reconnects], [700n, 2]);
});

test('an agent that comes back does not take what it has not seen for nothing done', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { source, id } = nodes;
  source.restarts = false;
  source.agent.life.kill();
  source.hypervisor.disconnect();
  await source.boot();
  assert.equal((await source.agent.migrations.get(id)).progress.fractionDone, undefined);
  source.hypervisor.reconnect();
  source.hypervisor.advance(nodes.vm.uid);
  await until('it is seen again', async () => {
    return ((await source.agent.migrations.get(id)).progress.fractionDone ?? 0) > 0;
  });
});

test('what is known is not replaced by what is not', () => {
  const older = { a: 1, b: 2 };
  assert.deepEqual(withKnown<{ a: number | undefined; b: number }>(older, { a: undefined, b: 3 }), {
    a: 1,
    b: 3,
  });
  assert.deepEqual(withKnown(undefined, older), older);
});
