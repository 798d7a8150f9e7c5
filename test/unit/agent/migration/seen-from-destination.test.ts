import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Migration } from '../../../../src/agent/migration/migration.ts';
import type { MigrationRecord } from '../../../../src/agent/migration/migration-record.ts';
import { NO_PROGRESS } from '../../../../src/agent/migration/progress.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { until } from '../../../fixtures/until.ts';
import { never, TwoNodes } from './two-nodes.ts';

const seenFrom = ({ destination, id }: TwoNodes): Promise<Migration> =>
  destination.agent.migrations.get(id);

/** A migration that has come through one of its three passes. */
async function onePass(nodes: TwoNodes): Promise<void> {
  await nodes.copying();
  nodes.source.hypervisor.advance(nodes.vm.uid);
  await until('its source has seen it', async () => {
    return (await nodes.source.agent.migrations.get(nodes.id)).progress.iteration === 1;
  });
}

function goOn({ source, vm }: TwoNodes): void {
  source.hypervisor.manualProgress = false;
  source.hypervisor.advance(vm.uid);
}

/** The record of the destination once it has ended, and heard of its source or given up to. */
async function recordThere(nodes: TwoNodes): Promise<MigrationRecord> {
  await nodes.ended();
  await nodes.assertRunsOn(nodes.destination);
  const record = nodes.destination.record(nodes.id);
  assert.ok(record);
  return record;
}

test('a destination shows how far its source is, and its own bytes on the wire', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, id } = nodes;
  await onePass(nodes);
  destination.transfers.patch(id, { wireBytesReceived: 70, stalledMs: 3 });
  await until('it has been told', async () => {
    const { progress } = await seenFrom(nodes);
    return progress.iteration === 1 && progress.wireBytes === 70n;
  });
  const there = (await seenFrom(nodes)).progress;
  const here = (await source.agent.migrations.get(id)).progress;
  assert.deepEqual(there, { ...here, wireBytes: 70n, stalledMs: 3 });
  assert.ok((there.fractionDone ?? 0) > 0);
});

test('so does one whose source has been killed and has come back', async () => {
  using nodes = await TwoNodes.open();
  const { source } = nodes;
  await nodes.copying();
  source.agent.life.kill();
  source.hypervisor.advance(nodes.vm.uid);
  await until('it has been told', async () => (await seenFrom(nodes)).progress.iteration === 1);
});

test('progress that is told late, or goes back, takes nothing back', async () => {
  using nodes = await TwoNodes.open();
  const { destination, id } = nodes;
  await onePass(nodes);
  await until('it has been told', async () => (await seenFrom(nodes)).progress.iteration === 1);
  const before = (await seenFrom(nodes)).progress;
  const { incoming } = destination.agent;
  nodes.source.wire.lostCalls.add('reportProgress');
  await incoming.reportProgress(id, { ...NO_PROGRESS, iteration: 0, wireBytes: 9_999n }, 'a');
  const { fractionDone, iteration, memoryProcessedBytes, wireBytes } = (await seenFrom(nodes))
    .progress;
  assert.deepEqual(
    [fractionDone, iteration, memoryProcessedBytes, wireBytes],
    [before.fractionDone, 1, before.memoryProcessedBytes, before.wireBytes],
  );
});

test('only the node that a migration comes from may tell how far it is', async () => {
  using nodes = await TwoNodes.open();
  const { incoming } = nodes.destination.agent;
  await nodes.copying();
  await assert.rejects(incoming.reportProgress(nodes.id, NO_PROGRESS, 'c'), {
    reason: 'PERMISSION_DENIED',
  });
  goOn(nodes);
  await recordThere(nodes);
  const ended = await seenFrom(nodes);
  await incoming.reportProgress(nodes.id, { ...NO_PROGRESS, iteration: 99 }, 'a');
  assert.deepEqual(await seenFrom(nodes), ended);
  await incoming.reportProgress('2f0c3c1e-9a3e-4f59-8f4c-0d5a3a4b1c2d', NO_PROGRESS, 'c');
});

test('with a source that does not tell, how far it is is unknown, and not 0', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, id } = nodes;
  // As one of version 1 has it.
  let asked = 0;
  source.wire.onCall = (method) => {
    if (method !== 'reportProgress') return;
    asked += 1;
    throw new AgentError('PEER_INCOMPATIBLE', 'No such call');
  };
  await onePass(nodes);
  destination.transfers.patch(id, { wireBytesReceived: 70 });
  await until('it is received', async () => (await seenFrom(nodes)).progress.wireBytes === 70n);
  const { phase, progress } = await seenFrom(nodes);
  assert.deepEqual(
    [phase, progress.fractionDone, progress.memoryProcessedBytes, progress.iteration],
    ['copying', undefined, undefined, undefined],
  );
  goOn(nodes);
  await recordThere(nodes);
  assert.equal(asked, 1, 'it is not asked again');
});

test('a destination that has the VM is wholly done, with the figures of its source', async () => {
  using nodes = await TwoNodes.open();
  const { source, id } = nodes;
  await nodes.copying();
  source.transfers.patch(id, { wireBytesSent: 700, wireBytesReceived: 70, reconnects: 2 });
  goOn(nodes);
  const there = await recordThere(nodes);
  const { result } = await nodes.ended();
  assert.ok(result?.totalMs !== undefined);
  assert.deepEqual(there.result, result);
  const { progress, result: shown } = await seenFrom(nodes);
  assert.deepEqual(shown, result);
  assert.deepEqual([progress.fractionDone, progress.memoryRemainingBytes], [1, 0n]);
  assert.equal(progress.iteration, 3);
});

test('one whose source says nothing at the end has what it knows itself, and not how long it took', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, id } = nodes;
  await nodes.copying();
  destination.transfers.patch(id, { wireBytesSent: 5, wireBytesReceived: 65, reconnects: 1 });
  source.wire.lostCalls.add('release').add('reportProgress');
  goOn(nodes);
  const there = await recordThere(nodes);
  assert.deepEqual(there.result, {
    totalMs: undefined,
    downtimeMs: 20,
    memoryProcessedBytes: BigInt(64 * 1024 ** 2),
    wireBytes: 70n,
    iterations: 3,
    reconnects: 1,
  });
  assert.equal(there.progress?.fractionDone, 1);
});

test('what the source does not know of the end the destination keeps, and watchers hear of the rest once', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, id, vm } = nodes;
  source.wire.lostCalls.add('release');
  await nodes.start();
  await recordThere(nodes);
  const { incoming, origins, book } = destination.agent;
  const { downtimeMs, iterations } = book.get(id).result ?? {};
  const unknown = { downtimeMs: undefined, iterations: undefined, memoryProcessedBytes: undefined };
  const result = { ...unknown, totalMs: 1_234, wireBytes: 7n, reconnects: 0 };
  const { revision } = origins.current();
  for (let times = 0; times < 2; times++) {
    await incoming.release(id, vm.uid, { outcome: 'commit', result }, 'a', never);
  }
  const shown = book.get(id);
  assert.deepEqual(
    [shown.result?.totalMs, shown.result?.wireBytes, shown.result?.downtimeMs],
    [1_234, 7n, downtimeMs],
  );
  assert.equal(shown.result?.iterations, iterations);
  assert.equal(shown.origin.revision, revision + 1);
  assert.deepEqual(destination.record(id)?.result, shown.result);
});
