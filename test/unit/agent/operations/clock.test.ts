import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { until } from '../../../fixtures/until.ts';
import { newRequest, OneNode, uidOf } from '../vms/one-node.ts';
import { ALL, ask, done, endOf } from './asking-node.ts';

const DAY_MS = 24 * 3_600_000;
const NOW_MS = Date.parse('2026-11-28T12:00:00Z');

test('a clock that is put back turns no list around, and ends nothing before it has begun', async (context) => {
  const { timers } = context.mock;
  timers.enable({ apis: ['Date'], now: NOW_MS });
  const journal = new MemoryJournal();
  const request = newRequest('web', { runStrategy: 'Manual' });
  const asked: string[] = [];
  {
    const node = await OneNode.open({ journal });
    await node.create(request);
    node.agent.run();
    node.hypervisor.slowShutdown = true;
    const { operations } = node.agent;
    asked.push((await done(node, { kind: 'start' })).id);
    const shutdown = await ask(node, { kind: 'shutdown' });
    asked.push(shutdown.id);
    await until('the guest is asked', async () => {
      return (await operations.get(shutdown.id)).step === 'waiting-for-guest';
    });

    timers.setTime(NOW_MS - 30 * DAY_MS);
    node.hypervisor.stopGuest(uidOf(request), 'shutdown');
    const end = await endOf(node, shutdown);
    assert.deepEqual([end.state, end.requestedAtMs, end.endedAtMs], ['succeeded', NOW_MS, NOW_MS]);
    for (const kind of ['start', 'destroy'] as const) asked.push((await done(node, { kind })).id);
    // As many as it takes to have old ones forgotten.
    for (let count = 0; count < 100; count += 1) {
      const vm = { namespace: 'test', name: 'nobody', uid: undefined };
      asked.push((await done(node, { kind: 'delete', vm })).id);
    }
    assert.deepEqual(await listed(node), asked.toReversed());
    await node.agent.tasks[Symbol.asyncDispose]();
  }
  // The next agent, after the clock was put right.
  timers.setTime(NOW_MS + 1_000);
  await using node = await OneNode.open({ journal });
  assert.deepEqual(await listed(node), asked.toReversed());
});

/** All of them, in small pages. */
async function listed({ agent }: OneNode): Promise<readonly string[]> {
  const ids: string[] = [];
  let token = '';
  do {
    const page = await agent.operations.list(ALL, { size: 7, token });
    ids.push(...page.items.map(({ id }) => id));
    token = page.nextToken;
  } while (token !== '');
  return ids;
}
