import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import type { ReportOrigin, WatchCursor } from '../../../src/gen/novacron/agent/v1/common.ts';
import {
  ListMigrationsRequest,
  type ListMigrationsResponse,
  WatchMigrationsRequest,
} from '../../../src/gen/novacron/agent/v1/migration.ts';
import { WatchNodeRequest } from '../../../src/gen/novacron/agent/v1/node.ts';
import {
  ListVirtualMachinesRequest,
  type ListVirtualMachinesResponse,
  WatchVirtualMachinesRequest,
  type WatchVirtualMachinesResponse,
} from '../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { MIGRATION_ID, makeMigration } from '../../fakes/fake-migration-service.ts';
import { makeVm, ORIGIN } from '../../fakes/fake-vm-service.ts';
import { call, failure, RpcHarness, readFailure, until } from './rpc-harness.ts';

let harness: RpcHarness;
let local: ReturnType<RpcHarness['clients']>;

before(async () => {
  harness = await RpcHarness.start();
  local = harness.clients();
});
after(() => harness[Symbol.asyncDispose]());

const vm = (name: string, app = 'web', namespace = 'default') =>
  makeVm(name, {}, { uid: `uid-of-${name}`, namespace, labels: { app } });

beforeEach(() => {
  harness.vms.restart(vm('a'), vm('b', 'db'), vm('c'), vm('d', 'web', 'shop'), vm('e'));
});

const list = (request: Parameters<typeof ListVirtualMachinesRequest.fromPartial>[0]) =>
  call<ListVirtualMachinesRequest, ListVirtualMachinesResponse>(
    (message, callback) => local.vms.listVirtualMachines(message, callback),
    ListVirtualMachinesRequest.fromPartial(request),
  );

const namesOf = ({ virtualMachines }: ListVirtualMachinesResponse) =>
  virtualMachines.map(({ metadata }) => metadata?.name);

test('a list is cut into pages, each of which says where the next one begins', async () => {
  const filter = { namespace: 'default', labelSelector: 'app in (web,db)', pageSize: 2 };
  const first = await list(filter);
  assert.deepEqual(namesOf(first), ['a', 'b']);
  // What has gone in between, or come before the place, does not move the next page.
  harness.vms.remove('b');
  harness.vms.put(vm('aa'));
  const second = await list({ ...filter, pageToken: first.nextPageToken });
  assert.deepEqual(namesOf(second), ['c', 'e']);
  assert.equal(second.nextPageToken, '');
  assert.equal((await list({})).nextPageToken, '');
});

test('a page token of another list, or of nobody, is refused', async () => {
  const { nextPageToken } = await list({ pageSize: 2 });
  for (const request of [
    { pageToken: 'nonsense' },
    { pageToken: nextPageToken, labelSelector: 'app=web' },
    { pageToken: nextPageToken, namespace: 'default' },
  ]) {
    assert.equal((await failure(list({ pageSize: 2, ...request }))).reason, 'INVALID_REQUEST');
  }
});

test('a page that is too large and a selector that cannot be read are refused', async () => {
  const large = await failure(list({ pageSize: 1_001 }));
  assert.match(large.message, /pageSize must be from 0 to 1000/);
  const odd = await failure(list({ labelSelector: 'app in web' }));
  assert.match(odd.message, /Cannot read the label selector/);
});

test('only what matches the selector is listed', async () => {
  assert.deepEqual(namesOf(await list({ labelSelector: 'app!=db' })), ['a', 'c', 'e', 'd']);
  assert.deepEqual(namesOf(await list({ labelSelector: '!app' })), []);
  assert.deepEqual(namesOf(await list({ namespace: 'shop', labelSelector: 'app' })), ['d']);
});

interface Event {
  readonly type: number;
  readonly origin: ReportOrigin | undefined;
}

/** What a watch sends; dispose of it to hang up. */
class Reader<E extends Event> implements Disposable {
  readonly events: E[] = [];
  failure: ReturnType<typeof readFailure> | undefined;
  readonly #stream: ClientReadableStream<E>;

  constructor(stream: ClientReadableStream<E>) {
    this.#stream = stream;
    stream.on('data', (event: E) => this.events.push(event));
    stream.on('error', (error: ServiceError) => {
      this.failure = readFailure(error);
    });
  }

  /** The next so many events. */
  async take(count: number): Promise<E[]> {
    await until(() => this.events.length >= count || this.failure !== undefined);
    return this.events.splice(0, count);
  }

  [Symbol.dispose](): void {
    this.#stream.cancel();
  }
}

const watch = (request: Parameters<typeof WatchVirtualMachinesRequest.fromPartial>[0]) =>
  new Reader(local.vms.watchVirtualMachines(WatchVirtualMachinesRequest.fromPartial(request)));

const TYPES = ['', 'added', 'modified', 'deleted', 'synced', 'reset'];
const textOf = ({ type, virtualMachine }: WatchVirtualMachinesResponse) =>
  `${TYPES[type]} ${virtualMachine?.metadata?.name ?? ''}`.trim();

function cursorOf(event: Event | undefined): WatchCursor {
  const { agentEpoch = 0n, revision = 0n } = event?.origin ?? {};
  return { agentEpoch, revision };
}

test('a VM whose labels stop matching is told as deleted, with what it has become', async () => {
  using reader = watch({ labelSelector: 'app=db' });
  assert.deepEqual((await reader.take(3)).map(textOf), ['reset', 'added b', 'synced']);
  harness.vms.put(vm('a', 'db'));
  harness.vms.put(vm('c', 'cache'));
  harness.vms.put(vm('a', 'cache'));
  harness.vms.remove('b');
  const events = await reader.take(3);
  assert.deepEqual(events.map(textOf), ['added a', 'deleted a', 'deleted b']);
  assert.deepEqual(events[1]?.virtualMachine?.metadata?.labels, { app: 'cache' });
});

test('the node that a VM has gone to comes with its last event, and an empty name with all others', async () => {
  const origin = ORIGIN;
  harness.vms.events = async function* () {
    yield { type: 'synced', origin };
    yield { type: 'deleted', object: vm('a', 'db'), origin, movedToNode: 'node-b' };
    yield { type: 'deleted', object: vm('b', 'db'), origin };
  };
  using reader = watch({});
  const events = await reader.take(3);
  harness.vms.events = undefined;
  assert.deepEqual(
    events.map(({ movedToNode }) => movedToNode),
    ['', 'node-b', ''],
  );
});

test('a watch goes on after a list, without a reset', async () => {
  const listed = await list({ namespace: 'default' });
  harness.vms.remove('c');
  using reader = watch({
    namespace: 'default',
    cursor: cursorOf({ type: 0, origin: listed.origin }),
  });
  assert.deepEqual((await reader.take(2)).map(textOf), ['deleted c', 'synced']);
});

test('a watch goes on from its last event', async () => {
  let cursor: WatchCursor;
  {
    using reader = watch({ namespace: 'default' });
    await reader.take(6);
    harness.vms.put(vm('f'));
    cursor = cursorOf((await reader.take(1)).at(-1));
  }
  harness.vms.put(vm('g'));
  using reader = watch({ namespace: 'default', cursor });
  assert.deepEqual((await reader.take(2)).map(textOf), ['added g', 'synced']);
});

test('a cursor of an earlier agent begins with a reset', async () => {
  const now = cursorOf({ type: 0, origin: (await list({})).origin });
  using reader = watch({
    namespace: 'shop',
    cursor: { ...now, agentEpoch: now.agentEpoch - 1n, revision: now.revision + 100n },
  });
  assert.deepEqual((await reader.take(3)).map(textOf), ['reset', 'added d', 'synced']);
});

const FUTURE = [
  { agentEpoch: 1n, revision: 0n },
  { agentEpoch: 0n, revision: 100n },
];

test('a cursor of the future is refused, whatever is watched', async () => {
  const now = cursorOf({ type: 0, origin: (await list({})).origin });
  const { migrations, node } = local;
  for (const { agentEpoch, revision } of FUTURE) {
    const cursor = {
      agentEpoch: now.agentEpoch + agentEpoch,
      revision: now.revision + revision,
    };
    const readers = [
      watch({ cursor }),
      new Reader(migrations.watchMigrations(WatchMigrationsRequest.fromPartial({ cursor }))),
      new Reader(node.watchNode(WatchNodeRequest.fromPartial({ cursor }))),
    ];
    for (const reader of readers) {
      using _reader = reader;
      await reader.take(1);
      assert.equal(reader.failure?.reason, 'WATCH_EXPIRED');
      assert.match(reader.failure.message, /watch again without a cursor/);
    }
  }
});

const idsOf = ({ migrations }: ListMigrationsResponse) => migrations.map(({ id }) => id);

test('migrations are listed and watched by their labels, by id, and by whether they go on', async () => {
  const other = '7a1b2c3d-4e5f-4a6b-8c7d-8e9fa0b1c2d4';
  harness.migrations.put(makeMigration({ id: other, labels: {}, phase: 'failed' }));
  const listed = (request: Parameters<typeof ListMigrationsRequest.fromPartial>[0]) =>
    call<ListMigrationsRequest, ListMigrationsResponse>(
      (message, callback) => local.migrations.listMigrations(message, callback),
      ListMigrationsRequest.fromPartial(request),
    );
  assert.deepEqual(idsOf(await listed({ labelSelector: 'reason=drain' })), [MIGRATION_ID]);
  assert.deepEqual(idsOf(await listed({ activeOnly: true })), [MIGRATION_ID]);
  const page = await listed({ pageSize: 1 });
  assert.deepEqual(idsOf(page), [MIGRATION_ID]);
  const next = await listed({ pageSize: 1, pageToken: page.nextPageToken });
  assert.deepEqual(idsOf(next), [other]);

  const request = WatchMigrationsRequest.fromPartial({ id: MIGRATION_ID });
  using reader = new Reader(local.migrations.watchMigrations(request));
  await reader.take(3);
  harness.migrations.put(makeMigration({ id: other, phase: 'cancelled' }));
  harness.migrations.put(makeMigration({ phase: 'completed' }));
  const [event] = await reader.take(1);
  assert.equal(event?.migration?.id, MIGRATION_ID);
  assert.equal(event.migration.status?.phase, 5);
});

test('a migration that is not known cannot be watched', async () => {
  const id = '7a1b2c3d-4e5f-4a6b-8c7d-000000000001';
  using reader = new Reader(
    local.migrations.watchMigrations(WatchMigrationsRequest.fromPartial({ id })),
  );
  await reader.take(1);
  assert.equal(reader.failure?.reason, 'MIGRATION_NOT_FOUND');
});
