import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Operation } from '../../../../src/agent/operations/operation.ts';
import { OperationBook } from '../../../../src/agent/operations/operation-book.ts';
import { OperationStore } from '../../../../src/agent/operations/operation-store.ts';
import { ReportOriginSource } from '../../../../src/agent/reports/report-origin-source.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { until } from '../../../fixtures/until.ts';
import { TwoNodes } from '../migration/two-nodes.ts';
import { newRequest, OneNode, uidOf } from '../vms/one-node.ts';
import { ALL, ask, endOf, FIRST } from './asking-node.ts';
import { operationRecord } from './operation-record.ts';

test('a shutdown says how long its guest has been waited for, and for how long it will be', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  await node.create(request);
  node.agent.run();
  node.hypervisor.slowShutdown = true;
  const asked = await ask(node, { kind: 'shutdown', parameters: { timeoutMs: 60_000 } });
  const { operations } = node.agent;
  await until('it is waited for', async () => {
    return (await operations.get(asked.id)).step === 'waiting-for-guest';
  });
  const { items } = await operations.list({ ...ALL, activeOnly: true }, FIRST);
  for (const operation of [await operations.get(asked.id), ...items]) {
    const { fractionDone, waitedMs = 0, leftMs = 0 } = operation.progress ?? {};
    // Nobody knows how far a guest is with powering off.
    assert.deepEqual([fractionDone, Math.round(waitedMs + leftMs)], [undefined, 60_000]);
  }
  node.hypervisor.stopGuest(uidOf(request), 'shutdown');
  assert.equal((await endOf(node, asked)).progress, undefined);
});

test('a migration is as far as its figures say', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { agent, hypervisor } = nodes.source;
  const fractionOf = async () => (await agent.operations.get(nodes.id)).progress?.fractionDone;
  await until('it has begun', async () => (await fractionOf()) === 0);
  hypervisor.advance(nodes.vm.uid);
  const done = () => agent.book.get(nodes.id).progress.fractionDone ?? 0;
  await until('it gets on', () => done() > 0);
  await until('the operation says so', async () => (await fractionOf()) === done());
});

test('an operation that has to wait for what is away says for what, and until when', async () => {
  await using node = await OneNode.open();
  await node.create(newRequest());
  node.agent.run();
  const away = new AgentError('HYPERVISOR_UNREACHABLE', 'libvirt is away');
  node.hypervisor.fail('destroy', away, 1_000);
  const asked = await ask(node, { kind: 'destroy' });
  const { operations } = node.agent;
  await until('it says so', async () => {
    const { progress } = await operations.get(asked.id);
    return (
      progress?.message === 'Trying again: Cannot cut the power of VM test/web: libvirt is away'
    );
  });
  const { progress } = await operations.get(asked.id);
  assert.equal(Math.round((progress?.waitedMs ?? 0) + (progress?.leftMs ?? 0)), 600_000);
});

/** A book with one operation that goes on. */
async function openBook() {
  const journal = new MemoryJournal();
  const origins = new ReportOriginSource({ nodeName: 'a', nodeBootId: 'b', agentEpoch: 1 });
  const book = await OperationBook.load(new OperationStore(journal.database), origins);
  await book.begin(operationRecord('o-1'));
  await book.step('o-1', 'copying');
  return { book, [Symbol.dispose]: () => journal[Symbol.dispose]() };
}

const half = { fractionDone: 0.5, message: '', waitedMs: undefined, leftMs: undefined };

test('watchers are told of progress once a second at the most, and who asks has the newest', async () => {
  using opened = await openBook();
  const { book } = opened;
  const told: (number | undefined)[] = [];
  for (const fractionDone of [0.5, 0.6, 0.7]) book.tellProgress('o-1', { ...half, fractionDone });
  const stop = new AbortController();
  const watched = (async () => {
    for await (const event of book.watch(() => true, undefined, stop.signal)) {
      if ('object' in event) told.push(event.object.progress?.fractionDone);
    }
  })().catch(() => undefined);
  await until('the watch is there', () => told.length === 1);
  const { origin } = await book.get('o-1');
  for (const fractionDone of [0.8, 0.9]) book.tellProgress('o-1', { ...half, fractionDone });
  assert.equal((await book.get('o-1')).origin.revision, origin.revision);
  assert.equal((await book.get('o-1')).progress?.fractionDone, 0.9);
  // What is in the way is news.
  book.tellProgress('o-1', { ...half, message: 'The link is down' });
  await until('it is told', () => told.length === 2);
  assert.ok((await book.get('o-1')).origin.revision > origin.revision);
  stop.abort();
  await watched;
});

test('progress that is none is no news, and one that has ended has none', async () => {
  using opened = await openBook();
  const { book } = opened;
  book.tellProgress('o-1', half);
  const before: Operation = await book.get('o-1');
  book.tellProgress('o-1', { ...half });
  assert.equal((await book.get('o-1')).origin.revision, before.origin.revision);
  await book.end('o-1', { state: 'succeeded' });
  book.tellProgress('o-1', half);
  assert.equal((await book.get('o-1')).progress, undefined);
});
