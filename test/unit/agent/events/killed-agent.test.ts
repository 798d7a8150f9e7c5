import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasEnded } from '../../../../src/agent/operations/operation.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { until } from '../../../fixtures/until.ts';
import { ask, begin } from '../runs/controlled-node.ts';
import { newRequest, OneNode, uidOf } from '../vms/one-node.ts';
import { expectTold, refFor, toldBy, withVm } from './eventful-node.ts';

const MADE = ['Requested Create tester', 'Created tester', 'Started RunStrategy tester'];
/** More commits than anything here makes. */
const MANY = 40;

/** What is in the journal when its agent was killed after so many commits more; what it did to VMs is done all the same. */
async function killAfter(
  commits: number,
  node: OneNode,
  journal: MemoryJournal,
  deed: () => Promise<unknown>,
): Promise<Pick<OneNode, 'hypervisor' | 'journal'>> {
  journal.setRoom(commits, 'JOURNAL_FAILURE');
  await deed().catch(() => undefined);
  const left = await node.leave();
  journal.setRoom(Number.POSITIVE_INFINITY);
  return left;
}

test('an end is told once, after whichever commit the agent is killed', async () => {
  for (const [how, ...what] of [
    ['shutdown', 'Stopped GuestShutdown'],
    ['crashed', 'StoppedUnexpectedly Crashed', 'Degraded Crashed'],
  ] as const) {
    for (let commits = 0; ; commits += 1) {
      using journal = new MemoryJournal();
      const request = newRequest();
      const node = await withVm(request, { journal });
      await expectTold(node, MADE);
      const isOff = () => node.inventory.findByUid(uidOf(request))?.run?.isOn === false;
      const left = await killAfter(commits, node, journal, async () => {
        node.hypervisor.stopGuest(uidOf(request), how);
        await until('it is seen', isOff);
      });
      const wasKilled = journal.refused > 0;
      const next = await OneNode.open(left);
      next.agent.run();
      await expectTold(next, [...MADE, ...what]);
      // One more agent finds nothing new.
      const last = await OneNode.open(await next.leave());
      last.agent.run();
      await last.inventory.untilListed(new AbortController().signal);
      await last.leave();
      assert.deepEqual(await toldBy({ journal }), [...MADE, ...what], `${commits} commits`);
      if (!wasKilled) break;
      assert.ok(commits < MANY);
    }
  }
});

test('what was asked for and what came of it is told once, after whichever commit the agent is killed', async () => {
  for (let commits = 0; ; commits += 1) {
    using journal = new MemoryJournal();
    const request = newRequest();
    const node = await withVm(request, { journal });
    await expectTold(node, MADE);
    const left = await killAfter(commits, node, journal, () =>
      begin(node, 'destroy', refFor(request)),
    );
    const wasKilled = journal.refused > 0;
    const next = await OneNode.open(left);
    next.agent.run();
    const isRecorded = journal.rows("SELECT 1 FROM operation WHERE kind = 'destroy'").length > 0;
    const came = ['Requested Destroy tester', 'Stopped Destroyed tester'];
    await expectTold(next, [...MADE, ...(isRecorded ? came : [])]);
    await next.leave();
    if (!wasKilled) break;
    assert.ok(commits < MANY);
  }
});

test('that a VM was made, started and deleted is told once, after whichever commit the agent is killed', async () => {
  for (let commits = 0; ; commits += 1) {
    using journal = new MemoryJournal();
    const request = newRequest();
    const node = await OneNode.open({ journal });
    node.agent.run();
    const left = await killAfter(commits, node, journal, async () => {
      const operation = await begin(node, 'create', refFor(request), { manifest: request });
      await until('it ends, or its agent', async () => {
        return journal.refused > 0 || hasEnded(await node.agent.operations.get(operation.id));
      });
    });
    const wasKilled = journal.refused > 0;
    const next = await OneNode.open(left);
    next.agent.run();
    const isRecorded = journal.rows("SELECT 1 FROM operation WHERE kind = 'create'").length > 0;
    if (isRecorded) {
      await expectTold(next, MADE);
      await ask(next, 'delete', refFor(request), { force: true });
      await until('it is told', async () => (await toldBy(next)).includes('Deleted tester'));
    }
    await next.leave();
    if (!wasKilled) break;
    assert.ok(commits < MANY);
  }
});

test('what happens while no agent runs is told by the next one, with when that was seen', async () => {
  const request = newRequest();
  const node = await withVm(request);
  await expectTold(node, MADE);
  const left = await node.leave();
  left.hypervisor.stopGuest(uidOf(request), 'crashed');
  await using next = await OneNode.open(left);
  next.agent.run();
  await expectTold(next, [...MADE, 'StoppedUnexpectedly Crashed', 'Degraded Crashed']);
  const [row] = next.journal.rows("SELECT message FROM event WHERE reason = 'StoppedUnexpectedly'");
  assert.match(String(row?.['message']), /\(seen when the agent was started\)$/);
});

test('an agent that is started again knows since when a VM is paused', async () => {
  const request = newRequest();
  const node = await withVm(request);
  node.hypervisor.setState(uidOf(request), 'paused', 'no-space');
  const paused = [...MADE, 'PausedUnexpectedly NoSpace', 'Degraded NoSpace'];
  await expectTold(node, paused);
  const pausedOf = ({ inventory }: OneNode) =>
    inventory.findByUid(uidOf(request))?.conditions.find(({ type }) => type === 'Paused');
  const before = pausedOf(node);
  assert.equal(before?.status, 'true');
  await using next = await OneNode.open(await node.leave());
  next.agent.run();
  await until('it is listed', () => pausedOf(next) !== undefined);
  assert.deepEqual(pausedOf(next), before);
  assert.deepEqual(await toldBy(next), paused);
});
