import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { WatchCursor, WatchEvent } from '../../../../src/agent/reports/report.ts';
import type { Vm } from '../../../../src/agent/vms/vm.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { FakeHypervisor, fakeMigration } from '../../../fakes/fake-hypervisor.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { EVERYTHING, never, newRequest, OneNode, refOf, uidOf, WHOLE } from './one-node.ts';

/** Watches and keeps what comes, such as `added web running`. */
class Watcher implements Disposable {
  readonly seen: string[] = [];
  cursor: WatchCursor | undefined;
  readonly #stop = new AbortController();

  constructor(node: OneNode, cursor?: WatchCursor) {
    this.#run(node, cursor).catch(() => undefined);
  }

  async sees(...events: readonly string[]): Promise<void> {
    await until(`${events.join()} instead of ${this.seen.join()}`, () => {
      return this.seen.length >= events.length;
    });
    assert.deepEqual(this.seen, events);
  }

  [Symbol.dispose](): void {
    this.#stop.abort(new Error('enough'));
  }

  async #run(node: OneNode, cursor: WatchCursor | undefined): Promise<void> {
    for await (const event of node.inventory.watch(EVERYTHING, cursor, this.#stop.signal)) {
      this.seen.push(describe(event));
      this.cursor = event.origin;
    }
  }
}

function describe(event: WatchEvent<Vm>): string {
  if (!('object' in event)) return event.type;
  return `${event.type} ${event.object.definition.name} ${event.object.phase}`;
}

test('a watcher sees what is there, then every change in order', async () => {
  await using node = await OneNode.open();
  const web = newRequest();
  await node.create(web);
  using watcher = new Watcher(node);
  await watcher.sees('reset', 'added web running', 'synced');
  await node.create(newRequest('db', { runStrategy: 'Halted' }));
  await node.vms.destroy(refOf(web), never);
  await node.vms.delete(refOf(web), { force: false }, never);
  await watcher.sees(
    'reset',
    'added web running',
    'synced',
    'added db stopped',
    'modified web stopped',
    'deleted web stopped',
  );
});

test('a watch that was broken goes on without loss or repetition', async () => {
  await using node = await OneNode.open();
  const web = newRequest();
  await node.create(web);
  using first = new Watcher(node);
  await first.sees('reset', 'added web running', 'synced');
  const { cursor } = first;
  await node.vms.destroy(refOf(web), never);
  await node.vms.start(refOf(web), never);
  using second = new Watcher(node, cursor);
  const missed = ['modified web stopped', 'modified web running', 'synced'];
  await second.sees(...missed);
  await node.vms.destroy(refOf(web), never);
  await second.sees(...missed, 'modified web stopped');
});

test('a watch that breaks among the first VMs goes on with the rest', async () => {
  await using node = await OneNode.open();
  const names = ['b', 'a'];
  for (const name of names) await node.create(newRequest(name, { runStrategy: 'Halted' }));
  const stop = new AbortController();
  const seen: string[] = [];
  let cursor: WatchCursor | undefined;
  for await (const event of node.inventory.watch(EVERYTHING, undefined, stop.signal)) {
    seen.push(describe(event));
    cursor = event.origin;
    if (seen.length === 2) break;
  }
  using rest = new Watcher(node, cursor);
  await until('the rest comes', () => rest.seen.includes('synced'));
  const all = [...new Set([...seen, ...rest.seen])].toSorted();
  assert.deepEqual(all, ['added a stopped', 'added b stopped', 'reset', 'synced']);
});

test('a cursor of another agent leads to a full answer', async () => {
  await using node = await OneNode.open();
  await node.create(newRequest());
  using watcher = new Watcher(node, { agentEpoch: 2, revision: 1_000 });
  await watcher.sees('reset', 'added web running', 'synced');
});

test('what happens without an event is noticed by the next listing', async () => {
  await using node = await OneNode.open();
  const web = newRequest();
  await node.create(web);
  node.run();
  using watcher = new Watcher(node);
  await watcher.sees('reset', 'added web running', 'synced');
  node.hypervisor.losesEvents = true;
  node.hypervisor.stopGuest(uidOf(web));
  await watcher.sees('reset', 'added web running', 'synced', 'modified web stopped');
});

test('figures that change are no change', async () => {
  await using node = await OneNode.open();
  const web = newRequest();
  await node.create(web);
  using watcher = new Watcher(node);
  await watcher.sees('reset', 'added web running', 'synced');
  node.hypervisor.burnCpu(uidOf(web), 1_000_000n);
  await node.inventory.refresh(never);
  await node.vms.destroy(refOf(web), never);
  await watcher.sees('reset', 'added web running', 'synced', 'modified web stopped');
});

test('a VM of which nothing has changed stays the same object, so that it need not be told anew', async () => {
  await using node = await OneNode.open();
  await node.create(newRequest('off', { runStrategy: 'Halted' }));
  const list = async () => (await node.vms.list(EVERYTHING, WHOLE, never)).items;
  const [before] = await list();
  const [after] = await list();
  assert.ok(before !== undefined);
  assert.equal(after, before);
});

test('a lost connection is told once for each VM, and so is its return', async () => {
  await using node = await OneNode.open();
  await node.create(newRequest());
  node.run();
  using watcher = new Watcher(node);
  await watcher.sees('reset', 'added web running', 'synced');
  node.hypervisor.disconnect();
  await watcher.sees('reset', 'added web running', 'synced', 'modified web unknown');
  node.hypervisor.reconnect();
  await until('it is known again', () => watcher.seen.length === 5);
  assert.equal(watcher.seen[4], 'modified web running');
});

test('whoever looks on is told how often the hypervisor has come back', async () => {
  await using node = await OneNode.open({ resyncIntervalMs: 60_000 });
  node.run();
  const stop = new AbortController();
  const looks = node.inventory.looks(stop.signal);
  const untilReturns = async (count: number) => {
    for await (const { returns } of {
      [Symbol.asyncIterator]: () => ({ next: () => looks.next() }),
    }) {
      assert.ok(returns <= count, `there are ${returns} returns`);
      if (returns === count) return;
    }
  };
  await untilReturns(0);
  node.hypervisor.disconnect();
  node.hypervisor.reconnect();
  await untilReturns(1);
  // Nobody is told that it is away: only the listing says so.
  node.hypervisor.fail('list', new AgentError('HYPERVISOR_TIMEOUT', 'not now'), 2);
  await assert.rejects(node.inventory.refresh(never));
  await assert.rejects(node.inventory.refresh(never));
  await node.inventory.refresh(never);
  await untilReturns(2);
  await node.inventory.refresh(never);
  await untilReturns(2);
  stop.abort();
});

test('VMs of others and VMs that are still arriving are not reported', async () => {
  await using node = await OneNode.open();
  await using other = await OneNode.open();
  const foreign = tinyVm();
  await node.hypervisor.domains.define(foreign, never);
  node.hypervisor.addForeign(foreign.uid);
  const moving = newRequest('moving');
  const { definition } = await other.create(moving);
  FakeHypervisor.connect(other.hypervisor, node.hypervisor);
  other.hypervisor.manualProgress = true;
  const request = fakeMigration(node.hypervisor, { ownershipEpoch: 2 });
  other.hypervisor.jobs.migrate(definition.uid, request, never).catch(() => undefined);
  await until('it arrives', async () => {
    return (await node.hypervisor.domains.find(definition.uid, never))?.state === 'incoming';
  });
  assert.deepEqual((await node.vms.list(EVERYTHING, WHOLE, never)).items, []);
});

test('the CPU usage is that between two listings', async (context) => {
  await using node = await OneNode.open();
  const web = newRequest();
  let nowMs = 1_000;
  context.mock.method(performance, 'now', () => nowMs);
  const first = await node.create(web);
  assert.equal(first.statistics?.cpuUsageCores, 0);
  node.hypervisor.burnCpu(uidOf(web), 1_500_000_000n);
  nowMs += 1_000;
  const { statistics } = await node.vms.get(refOf(web), never);
  assert.equal(statistics?.cpuUsageCores, 1.5);
});

const listsOf = ({ hypervisor }: OneNode) =>
  hypervisor.calls.filter((call) => call === 'list').length;

test('lists that come one after another have the hypervisor listed once', async () => {
  await using node = await OneNode.open();
  node.agent.run();
  await node.create(newRequest());
  await node.inventory.untilListed(never);
  await until('it is at rest', async () => {
    node.hypervisor.forgetCalls();
    for (let times = 0; times < 5; times += 1) await node.vms.list(EVERYTHING, WHOLE, never);
    return listsOf(node) === 0;
  });
});

test('a list after something was told has it, and so has one while nothing is heard', async () => {
  await using node = await OneNode.open();
  const web = newRequest('web', { runStrategy: 'Once' });
  await node.create(web);
  const phaseListed = async () => (await node.vms.list(EVERYTHING, WHOLE, never)).items[0]?.phase;
  assert.equal(await phaseListed(), 'running');
  // Nobody hears of it yet.
  node.hypervisor.stopGuest(uidOf(web), 'crashed');
  assert.equal(await phaseListed(), 'failed');
  node.agent.run();
  await node.vms.start(refOf(web), never);
  assert.equal(await phaseListed(), 'running');
  node.hypervisor.stopGuest(uidOf(web), 'crashed');
  // An event takes its way.
  await setImmediate();
  assert.equal(await phaseListed(), 'failed');
});

test('a list after something was told that is no event looks anew', async () => {
  await using node = await OneNode.open();
  node.agent.run();
  const web = newRequest();
  await node.create(web);
  await node.vms.list(EVERYTHING, WHOLE, never);
  node.hypervisor.domains.expire(uidOf(web));
  node.hypervisor.forgetCalls();
  await node.vms.list(EVERYTHING, WHOLE, never);
  assert.equal(listsOf(node), 1);
});

test('a list is at most a second old, should an event be lost', async (context) => {
  await using node = await OneNode.open();
  node.agent.run();
  const web = newRequest();
  await node.create(web);
  await node.vms.list(EVERYTHING, WHOLE, never);
  node.hypervisor.changeUnseen(uidOf(web), 'memory');
  const nowMs = performance.now();
  context.mock.method(performance, 'now', () => nowMs + 1_001);
  node.hypervisor.forgetCalls();
  await node.vms.list(EVERYTHING, WHOLE, never);
  assert.equal(listsOf(node), 1);
});

test('a list while the hypervisor is away says so at once', async () => {
  await using node = await OneNode.open();
  node.agent.run();
  await node.create(newRequest());
  await node.vms.list(EVERYTHING, WHOLE, never);
  node.hypervisor.disconnect();
  const { items } = await node.vms.list(EVERYTHING, WHOLE, never);
  assert.equal(items[0]?.phase, 'unknown');
});
