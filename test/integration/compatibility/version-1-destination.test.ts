import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { WantedVm } from '../../../src/core/resources/parse-virtual-machine.ts';
import { RecordedClient } from '../../compatibility/version-1/recorded-client.ts';
import { RecordedDestination } from '../../compatibility/version-1/recorded-destination.ts';
import { FakeHypervisor } from '../../fakes/fake-hypervisor.ts';
import { until } from '../../fixtures/until.ts';
import { never, newRequest, refOf, uidOf } from '../../unit/agent/vms/one-node.ts';
import { ServedNode } from '../cli/served-node.ts';

/** Today's agent with a VM that runs, a destination of version 1, and a client of version 1 that moves it there. */
class Leaving implements AsyncDisposable {
  readonly id: string;
  readonly wanted: WantedVm;
  readonly served: ServedNode;
  readonly destination: RecordedDestination;
  readonly client: RecordedClient;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    parts: Pick<Leaving, 'id' | 'wanted' | 'served' | 'destination' | 'client'>,
    stack: AsyncDisposableStack,
  ) {
    this.id = parts.id;
    this.wanted = parts.wanted;
    this.served = parts.served;
    this.destination = parts.destination;
    this.client = parts.client;
    this.#stack = stack;
  }

  static async open(): Promise<Leaving> {
    await using stack = new AsyncDisposableStack();
    const served = stack.use(await ServedNode.start());
    const names = 'URI:spiffe://novacron/node/b,DNS:b,IP:127.0.0.1';
    const files = await served.authority.issue('b', names, never);
    const destination = stack.use(await RecordedDestination.start('b', files));
    const client = stack.use(new RecordedClient(served.socket));
    const [id, wanted] = [randomUUID(), newRequest()];
    const { node } = served;
    await node.create(wanted);
    // The transfer would lead there; nobody of version 1 is needed to move bytes.
    const socket = node.transfers.socketPath(id, 'libvirt');
    node.hypervisor.addPeer(socket, new FakeHypervisor('b'));
    node.hypervisor.manualProgress = true;
    return new Leaving({ id, wanted, served, destination, client }, stack.move());
  }

  get spec() {
    const { namespace, name } = refOf(this.wanted);
    return {
      virtualMachine: { namespace, name },
      destination: { nodeName: 'b', address: `127.0.0.1:${this.destination.port}` },
    };
  }

  /** Starts the migration, and sees it copy. */
  async copying(): Promise<AsyncGenerator<string>> {
    const { id, spec, client } = this;
    const { transfers } = this.served.node;
    await client.call('MigrationService/StartMigration', { id, spec });
    await until('it connects', async () => (await transfers.find(id, never)) !== undefined);
    transfers.patch(id, { state: 'connected', lanesUp: 2 });
    const phases = client.migrationPhases(id);
    for (;;) {
      const { value, done } = await phases.next();
      assert.ok(done !== true, 'It has ended before it was copied');
      if (value === 'MIGRATION_PHASE_COPYING') return phases;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

test('a migration to version 1 is planned, and nothing stands in its way', async () => {
  await using leaving = await Leaving.open();
  const { client, spec, destination } = leaving;
  const plan = await client.call('MigrationService/PlanMigration', { spec });
  assert.deepEqual(plan['blockers'], []);
  assert.partialDeepStrictEqual(destination.requests['check']?.[0], {
    incoming: {
      uid: uidOf(leaving.wanted),
      ownershipEpoch: 1,
      accelerator: 'tcg',
      memoryBytes: 64 * 1024 ** 2,
      vcpus: 1,
    },
    sourceHostUuid: leaving.served.node.hypervisor.hostUuid,
  });
});

test('a VM goes to version 1, and the destination is told that it may keep it', async () => {
  await using leaving = await Leaving.open();
  const { client, id, wanted, destination, served } = leaving;
  const phases = await leaving.copying();
  destination.arrive(2);
  const { hypervisor } = served.node;
  await until('it is copied', async () => {
    hypervisor.advance(uidOf(wanted));
    return (await hypervisor.domains.find(uidOf(wanted), never)) === undefined;
  });
  assert.equal((await Array.fromAsync(phases)).at(-1), 'MIGRATION_PHASE_COMPLETED');
  assert.partialDeepStrictEqual(destination.requests['release'], [
    { migrationId: id, outcome: 'INCOMING_OUTCOME_COMMIT' },
  ]);
  const { migration } = await client.call('MigrationService/GetMigration', { id });
  assert.partialDeepStrictEqual(migration.status, {
    destinationNode: 'b',
    result: { downtime: { seconds: 0, nanos: 12_000_000 } },
  });
});

test('a migration to version 1 is cancelled, and the destination is told that nothing comes', async () => {
  await using leaving = await Leaving.open();
  const { client, id, wanted, destination, served } = leaving;
  const phases = await leaving.copying();
  await client.call('MigrationService/CancelMigration', { id });
  assert.equal((await Array.fromAsync(phases)).at(-1), 'MIGRATION_PHASE_CANCELLED');
  assert.equal(destination.requests['release']?.at(-1)?.['outcome'], 'INCOMING_OUTCOME_ABORT');
  const found = await served.node.hypervisor.domains.find(uidOf(wanted), never);
  assert.equal(found?.state, 'running');
});
