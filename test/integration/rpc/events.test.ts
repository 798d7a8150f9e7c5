import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { AgentClient } from '../../../src/client/agent-client.ts';
import { EventType } from '../../../src/client/api.ts';
import { watchEvents } from '../../../src/client/watches.ts';
import { WatchEventType } from '../../../src/gen/novacron/agent/v1/common.ts';
import { noted, vmNamed } from '../../unit/agent/events/notes.ts';
import { RpcHarness } from './rpc-harness.ts';

const never = new AbortController().signal;
const call = { signal: never };

let harness: RpcHarness;
let client: AgentClient;

before(async () => {
  harness = await RpcHarness.start();
  client = await AgentClient.open({ address: `unix:${harness.socket}` });
  await note(
    noted('Created', { requestedBy: 'unix:root', operationId: 'op-1' }),
    noted('StoppedUnexpectedly', { cause: 'Crashed', message: 'It crashed' }),
    noted('Created', { vm: vmNamed('db') }),
  );
});
after(async () => {
  client[Symbol.dispose]();
  await harness[Symbol.asyncDispose]();
});

async function note(...notes: readonly ReturnType<typeof noted>[]): Promise<void> {
  harness.events.book.note(notes, []);
  await harness.events.book.flush();
}

test('an event is told whole, with numbers that are numbers and times that are times', async () => {
  const { events } = await client.events.list({ type: EventType.EVENT_TYPE_WARNING }, call);
  const [event] = events;
  assert.equal(events.length, 1);
  assert.equal(event?.reason, 'StoppedUnexpectedly');
  assert.equal(event.cause, 'Crashed');
  assert.equal(event.count, 1);
  assert.deepEqual(event.virtualMachine, vmNamed('web'));
  assert.deepEqual(event.firstTime, event.lastTime);
  assert.equal(event.origin?.nodeName, 'node-a');
});

test('a list is cut into pages, the newest first', async () => {
  const first = await client.events.list({ pageSize: 2 }, call);
  assert.deepEqual(
    first.events.map(({ reason }) => reason),
    ['Created', 'StoppedUnexpectedly'],
  );
  const second = await client.events.list({ pageSize: 2, pageToken: first.nextPageToken }, call);
  assert.equal(second.events.length, 1);
  assert.equal(second.nextPageToken, '');
});

test('what makes no sense is refused, field by field', async () => {
  for (const [request, field] of [
    [{ type: 7 as EventType }, 'type'],
    [{ namespace: 'Not a label' }, 'namespace'],
    [{ virtualMachine: { name: '' } }, 'virtualMachine.name'],
    [{ virtualMachine: { name: 'web', uid: 'no uid' } }, 'virtualMachine.uid'],
    [{ virtualMachine: { name: 'web' }, namespace: 'shop' }, 'namespace'],
    [{ since: { seconds: 10n ** 15n, nanos: 0 } }, 'since'],
    [{ pageSize: 1_001 }, 'pageSize'],
    [{ pageToken: 'nonsense' }, 'pageToken'],
  ] as const) {
    await assert.rejects(client.events.list(request, call), (error) => {
      const { reason, violations } = error as { reason: string; violations: { field: string }[] };
      assert.equal(reason, 'INVALID_REQUEST');
      assert.equal(violations[0]?.field, field);
      return true;
    });
  }
});

test('a watch goes on where it broke off, or from where a list was made', async () => {
  const { origin } = await client.events.list({}, call);
  assert.ok(origin !== undefined);
  await note(noted('Started', { vm: vmNamed('db') }), noted('Started'));
  const seen: string[] = [];
  const cursor = { agentEpoch: origin.agentEpoch, revision: origin.revision };
  for await (const { type, object } of client.events.watch(
    { virtualMachine: { name: 'db' }, cursor },
    call,
  )) {
    if (type === WatchEventType.WATCH_EVENT_TYPE_SYNCED) break;
    seen.push(object?.reason ?? String(type));
  }
  assert.deepEqual(seen, ['Started']);
  const future = { agentEpoch: origin.agentEpoch, revision: origin.revision + 100n };
  const watching = client.events.watch({ cursor: future }, call);
  await assert.rejects(watching.next(), { reason: 'WATCH_EXPIRED' });
});

test('a client that watches is told that something has happened again', async () => {
  const stop = new AbortController();
  const told: string[] = [];
  const watching = (async () => {
    const virtualMachine = { name: 'again' };
    for await (const change of watchEvents(client, { signal: stop.signal, virtualMachine })) {
      if (change.type === 'synced') await note(noted('BackOff', { vm: vmNamed('again') }));
      else told.push(`${change.type} ${change.object.count}`);
      if (change.type === 'added') await note(noted('BackOff', { vm: vmNamed('again') }));
      if (change.type === 'modified') return;
    }
  })();
  await watching;
  stop.abort();
  assert.deepEqual(told, ['added 1', 'modified 2']);
});
