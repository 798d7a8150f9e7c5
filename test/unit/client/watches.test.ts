import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentClient } from '../../../src/client/agent-client.ts';
import { Migration, MigrationPhase, VirtualMachinePhase } from '../../../src/client/api.ts';
import type { ResourceEvent } from '../../../src/client/watch.ts';
import {
  followMigration,
  watchMigrations,
  watchNode,
  watchVirtualMachines,
} from '../../../src/client/watches.ts';
import { AgentError } from '../../../src/core/errors.ts';
import { startAgent } from './served-agent.ts';

const never = new AbortController().signal;
const QUICKLY = { signal: never, minDelayMs: 5, maxDelayMs: 20 } as const;
const { VIRTUAL_MACHINE_PHASE_STOPPED } = VirtualMachinePhase;

/** What a watch tells, one line per event. */
class Watcher<T> {
  readonly #events: AsyncGenerator<ResourceEvent<T>>;
  readonly #nameOf: (object: T) => string | undefined;
  readonly #lines: string[] = [];

  constructor(events: AsyncGenerator<ResourceEvent<T>>, nameOf: (object: T) => string | undefined) {
    this.#events = events;
    this.#nameOf = nameOf;
  }

  /** Reads up to and with the first event that reads so, and gives all that were read. */
  async until(line: string): Promise<string[]> {
    for (;;) {
      const { value } = await this.#events.next();
      if (value === undefined) throw new Error('The watch ended');
      const text =
        value.type === 'synced' ? 'synced' : `${value.type} ${this.#nameOf(value.object)}`;
      this.#lines.push(text);
      if (text === line) return this.#lines.splice(0);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#events.return(undefined);
  }
}

const watchVms = (client: AgentClient, labelSelector?: string) =>
  new Watcher(
    watchVirtualMachines(client, { ...QUICKLY, labelSelector }),
    (vm) => vm.metadata?.name,
  );

test('a watch goes on from its cursor and tells nothing twice', async () => {
  await using lab = await startAgent();
  lab.agent.put('one');
  lab.agent.put('two');
  await using watcher = watchVms(lab.client);
  assert.deepEqual(await watcher.until('synced'), ['added one', 'added two', 'synced']);
  const { revision } = lab.agent.clock;

  lab.agent.stop();
  lab.agent.put('two', {}, VIRTUAL_MACHINE_PHASE_STOPPED);
  lab.agent.remove('one');
  await lab.agent.listen(lab.address);
  assert.deepEqual(await watcher.until('synced'), ['modified two', 'deleted one', 'synced']);
  assert.equal(lab.agent.watchRequests.at(-1)?.cursor?.revision, revision);

  lab.agent.put('three');
  assert.deepEqual(await watcher.until('added three'), ['added three']);
});

test('a watch tells what was deleted while nobody could say so', async () => {
  await using lab = await startAgent();
  lab.agent.put('one');
  lab.agent.put('two');
  await using watcher = watchVms(lab.client);
  await watcher.until('synced');

  lab.agent.stop();
  lab.agent.remove('one');
  lab.agent.remove('two');
  lab.agent.forgetHistory();
  await lab.agent.listen(lab.address);
  assert.deepEqual(await watcher.until('synced'), ['deleted one', 'deleted two', 'synced']);
});

test('after a restart of the agent only what changed is told', async () => {
  await using lab = await startAgent();
  for (const name of ['one', 'two', 'three']) lab.agent.put(name);
  await using watcher = watchVms(lab.client);
  await watcher.until('synced');

  lab.agent.stop();
  lab.agent.remove('one');
  lab.agent.restartEpoch();
  lab.agent.put('two', {}, VIRTUAL_MACHINE_PHASE_STOPPED);
  lab.agent.put('four');
  await lab.agent.listen(lab.address);
  assert.deepEqual((await watcher.until('synced')).toSorted(), [
    'added four',
    'deleted one',
    'modified two',
    'synced',
  ]);
});

test('a VM that was made anew under its name is another one', async () => {
  await using lab = await startAgent();
  lab.agent.put('one');
  await using watcher = watchVms(lab.client);
  await watcher.until('synced');

  lab.agent.stop();
  lab.agent.remove('one');
  lab.agent.put('one', { metadata: { uid: 'another' } });
  lab.agent.forgetHistory();
  await lab.agent.listen(lab.address);
  assert.deepEqual((await watcher.until('synced')).toSorted(), [
    'added one',
    'deleted one',
    'synced',
  ]);
});

test('a watch that expired starts anew and tells only what changed', async () => {
  await using lab = await startAgent();
  lab.agent.put('one');
  await using watcher = watchVms(lab.client);
  await watcher.until('synced');

  lab.agent.stop();
  lab.agent.failNext = new AgentError('WATCH_EXPIRED', 'The watcher fell too far behind');
  await lab.agent.listen(lab.address);
  lab.agent.put('two');
  assert.deepEqual(await watcher.until('synced'), ['added two', 'synced']);
  assert.equal(lab.agent.watchRequests.at(-1)?.cursor, undefined);
});

test('a watch goes on with an agent whose journal was restored from an older backup', async () => {
  await using lab = await startAgent();
  lab.agent.clock.epoch = 9n;
  lab.agent.put('one');
  lab.agent.put('two');
  await using watcher = watchVms(lab.client);
  await watcher.until('synced');

  lab.agent.stop();
  lab.agent.remove('one');
  lab.agent.restoreEpoch(5n);
  await lab.agent.listen(lab.address);
  assert.deepEqual(await watcher.until('synced'), ['deleted one', 'synced']);
  assert.equal(lab.agent.watchRequests.at(-1)?.cursor, undefined);
  lab.agent.put('three');
  assert.deepEqual(await watcher.until('added three'), ['added three']);
});

test('what no longer matches the selector is told as deleted, and as added when it does again', async () => {
  await using lab = await startAgent();
  const put = (tier: string) => lab.agent.put('one', { metadata: { labels: { tier } } });
  put('front');
  lab.agent.put('other');
  await using watcher = watchVms(lab.client, 'tier in (front,middle)');
  assert.deepEqual(await watcher.until('synced'), ['added one', 'synced']);
  put('middle');
  put('back');
  put('front');
  assert.deepEqual(await watcher.until('added one'), ['modified one', 'deleted one', 'added one']);
});

test('an error that waiting does not mend ends a watch', async () => {
  await using lab = await startAgent();
  await using watcher = watchVms(lab.client);
  await watcher.until('synced');
  lab.agent.stop();
  lab.agent.failNext = new AgentError('PERMISSION_DENIED', 'You may not');
  await lab.agent.listen(lab.address);
  await assert.rejects(watcher.until('synced'), { reason: 'PERMISSION_DENIED' });
});

test('a watch whose first connection fails does not wait', async () => {
  using client = await AgentClient.open({ address: 'unix:/nowhere/agent.sock' });
  await assert.rejects(watchVms(client).until('synced'), { kind: 'unavailable' });
});

test('a node is watched over a lost connection', async () => {
  await using lab = await startAgent();
  await using watcher = new Watcher(
    watchNode(lab.client, QUICKLY),
    ({ metadata, spec }) => `${metadata?.name} ${spec?.cordon}`,
  );
  assert.deepEqual(await watcher.until('synced'), ['added node-a false', 'synced']);
  lab.agent.stop();
  await lab.agent.listen(lab.address);
  await watcher.until('synced');
  await lab.client.node.update({ cordon: true }, { signal: never });
  assert.deepEqual(await watcher.until('modified node-a true'), ['modified node-a true']);
});

const step = (phase: MigrationPhase) => Migration.create({ status: { phase } });

async function startMigration(lab: Awaited<ReturnType<typeof startAgent>>, id: string) {
  lab.agent.put('web');
  const spec = { virtualMachine: { name: 'web' }, destination: { nodeName: 'node-b' } };
  await lab.client.migrations.start(id, spec, { signal: never, labels: { drain: id } });
}

test('migrations are watched by their labels', async () => {
  await using lab = await startAgent();
  await startMigration(lab, 'a');
  await using watcher = new Watcher(
    watchMigrations(lab.client, { ...QUICKLY, labelSelector: 'drain!=b' }),
    ({ id, status }) => `${id} ${status?.phase}`,
  );
  assert.deepEqual(await watcher.until('synced'), ['added a 1', 'synced']);
  await startMigration(lab, 'b');
  await startMigration(lab, 'c');
  await lab.client.migrations.cancel('a', { signal: never });
  assert.deepEqual(await watcher.until('modified a 7'), ['added c 1', 'modified a 7']);
});

test('a migration is followed to its end, over a restart of the agent', async () => {
  await using lab = await startAgent();
  await startMigration(lab, 'a');
  lab.agent.migrationSteps = [step(MigrationPhase.MIGRATION_PHASE_COPYING)];
  const phases: (MigrationPhase | undefined)[] = [];
  for await (const { status } of followMigration(lab.client, 'a', QUICKLY)) {
    phases.push(status?.phase);
    if (status?.phase !== MigrationPhase.MIGRATION_PHASE_COPYING) continue;
    lab.agent.stop();
    lab.agent.restartEpoch();
    lab.agent.migrationSteps = [step(MigrationPhase.MIGRATION_PHASE_COMPLETED)];
    await lab.agent.listen(lab.address);
  }
  assert.deepEqual(phases, [1, 2, 5]);
});

test('a migration that has ended is told once', async () => {
  await using lab = await startAgent();
  await startMigration(lab, 'a');
  await lab.client.migrations.cancel('a', { signal: never });
  const followed = await Array.fromAsync(followMigration(lab.client, 'a', QUICKLY));
  assert.deepEqual(
    followed.map(({ status }) => status?.phase),
    [MigrationPhase.MIGRATION_PHASE_CANCELLED],
  );
});

test('a migration that nobody knows is not waited for', async () => {
  await using lab = await startAgent();
  await assert.rejects(followMigration(lab.client, 'a', QUICKLY).next(), {
    reason: 'MIGRATION_NOT_FOUND',
  });
});
