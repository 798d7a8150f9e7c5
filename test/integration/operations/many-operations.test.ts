import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { Journal } from '../../../src/agent/journal/journal.ts';
import { JOURNAL_SCHEMA } from '../../../src/agent/journal-schema.ts';
import type { Operation } from '../../../src/agent/operations/operation.ts';
import { OperationStore } from '../../../src/agent/operations/operation-store.ts';
import { createLogger } from '../../../src/core/logger.ts';
import { until } from '../../fixtures/until.ts';
import { ALL, type Asked, ask, done, endOf } from '../../unit/agent/operations/asking-node.ts';
import { EVERYTHING, never, newRequest, OneNode } from '../../unit/agent/vms/one-node.ts';

const MANY = 10_000;
/** Callers that each ask for the next as soon as they are answered: as many as one connection may have calls. */
const CALLERS = 256;
const WEEK_MS = 7 * 24 * 3_600_000;
const options = { logger: createLogger('silent'), schema: JOURNAL_SCHEMA };
const OTHER = { namespace: 'test', name: 'other', uid: undefined };

/** A node that keeps its journal on the disk, with ten VMs that are asked for much, and another one. */
async function openNode(journal: Journal): Promise<OneNode> {
  const { database } = journal;
  const kept = { database, text: () => '', rows: () => [], [Symbol.dispose]: () => undefined };
  const node = await OneNode.open({ journal: kept });
  for (let number = 0; number < 10; number += 1) {
    await node.create(newRequest(`vm-${number}`, { runStrategy: 'Halted' }));
  }
  await node.create(newRequest(OTHER.name, { runStrategy: 'Manual' }));
  node.agent.run();
  return node;
}

/** Every tenth cuts the power of a VM, the others are about VMs that are not here. */
function manyth(number: number): Asked {
  if (number % 10 !== 0) {
    return { kind: 'delete', vm: { ...OTHER, name: `nobody-${number % 100}` } };
  }
  return { kind: 'destroy', vm: { ...OTHER, name: `vm-${(number / 10) % 10}` } };
}

/** Everything that a node knows, the newest first. */
async function listAll({ agent }: OneNode): Promise<readonly Operation[]> {
  const all: Operation[] = [];
  let token = '';
  do {
    const page = await agent.operations.list(ALL, { size: 1_000, token });
    all.push(...page.items);
    token = page.nextToken;
  } while (token !== '');
  return all;
}

test('of ten thousand operations at once none is lost, and others are done meanwhile', async () => {
  using directory = mkdtempDisposableSync(path.join(tmpdir(), 'many-operations-'));
  await using journal = await Journal.open(directory.path, options);
  await using node = await openNode(journal);
  const answered: string[] = [];
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < MANY) {
      const { id } = await ask(node, manyth(next++));
      answered.push(id);
    }
  };
  const callers = Promise.all(Array.from({ length: CALLERS }, caller));

  const others: string[] = [];
  for (let round = 1; round < 10; round += 1) {
    await until('the next thousand are answered', () => answered.length >= (round * MANY) / 10);
    const kind = round % 2 === 1 ? 'start' : 'destroy';
    const before = answered.length;
    const other = await done(node, { kind, vm: OTHER });
    others.push(other.id);
    assert.equal(other.state, 'succeeded');
    // It waits for its turn among the callers, and not for what they will ask for yet.
    const between = answered.length - before;
    assert.ok(between < 2 * CALLERS && answered.length < MANY, `after ${between} others`);
    const phase = kind === 'start' ? 'running' : 'stopped';
    assert.equal((await node.vms.get(OTHER, never)).phase, phase);
    assert.equal(node.inventory.list(EVERYTHING).length, 11);
    const { items } = await node.agent.operations.list(ALL, { size: 1, token: '' });
    assert.equal(items.length, 1);
  }
  await callers;

  for (const id of answered) await endOf(node, { id });
  const all = await listAll(node);
  const ids = all.map(({ id }) => id);
  assert.deepEqual(ids.toSorted(), [...answered, ...others].toSorted());
  assert.ok(all.every(({ state }) => state === 'succeeded' || state === 'superseded'));
  const times = all.map(({ requestedAtMs }) => requestedAtMs);
  assert.deepEqual(
    times,
    times.toSorted((left, right) => right - left),
  );

  await assertFewInMemory(node);
  await assertKept(new OperationStore(journal.database), ids);
});

/** Who begins to watch is told of the latest only: nobody has the others in memory. */
async function assertFewInMemory({ agent }: OneNode): Promise<void> {
  let told = 0;
  for await (const { type } of agent.operations.watch(
    { ...ALL, id: undefined },
    undefined,
    never,
  )) {
    if (type === 'synced') break;
    if (type === 'added') told += 1;
  }
  assert.equal(told, 200);
}

/** All of the last seven days are kept, and after that the last 10,000. */
async function assertKept(store: OperationStore, newestFirst: readonly string[]): Promise<void> {
  const nowMs = Date.now();
  assert.equal(await store.prune(nowMs), 0);
  assert.equal(await store.prune(nowMs + WEEK_MS + 1), newestFirst.length - 10_000);
  const { records, next } = await store.list(ALL, { after: undefined, limit: 20_000 });
  assert.equal(next, undefined);
  assert.deepEqual(
    records.map(({ id }) => id),
    newestFirst.slice(0, 10_000),
  );
}

test('an id that many use at once for different things is given to one of them', async () => {
  using directory = mkdtempDisposableSync(path.join(tmpdir(), 'one-id-'));
  await using journal = await Journal.open(directory.path, options);
  await using node = await openNode(journal);
  const id = randomUUID();
  const asked = Array.from({ length: 20 }, (_, number) => ask(node, { ...manyth(number), id }));
  const answers = await Promise.allSettled(asked);
  const [given, ...more] = answers.filter(({ status }) => status === 'fulfilled');
  assert.deepEqual([given === undefined, more], [false, []]);
  const refusals = answers.flatMap((answer) => (answer.status === 'rejected' ? answer.reason : []));
  assert.deepEqual(new Set(refusals.map(({ reason }) => reason)), new Set(['OPERATION_ID_REUSED']));
  assert.deepEqual(
    (await listAll(node)).map((operation) => operation.id),
    [id],
  );
});
