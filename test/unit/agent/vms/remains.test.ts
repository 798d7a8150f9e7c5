import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { hasEnded, type OperationRequest } from '../../../../src/agent/operations/operation.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import { until } from '../../../fixtures/until.ts';
import { EVERYTHING, never, newRequest, OneNode, uidOf } from './one-node.ts';

const REFUSED = new AgentError('HYPERVISOR_FAILURE', 'no');

function creationOf(request: WantedVm, kind: 'create' | 'apply' = 'create'): OperationRequest {
  const { namespace, name, uid } = request.metadata;
  const options = kind === 'create' ? { reservationId: undefined } : {};
  const parameters = { manifest: request, ...options };
  return {
    id: randomUUID(),
    kind,
    vm: { namespace, name, uid },
    parameters,
    requestedBy: 'tester',
  };
}

async function submit(node: OneNode, asked: OperationRequest): Promise<string> {
  return (await node.agent.operations.submit(asked, never)).operation.id;
}

async function stateOf(node: OneNode, id: string): Promise<string> {
  await until('it has ended', async () => hasEnded(await node.agent.operations.get(id)));
  return (await node.agent.operations.get(id)).state;
}

/** A creation whose definition gets to the hypervisor only when it is over; the returned function has it land. */
async function givenUp(kind: 'create' | 'apply' = 'create') {
  const node = await OneNode.open();
  node.agent.run();
  const request = newRequest('web', { runStrategy: 'Always', userData: '#cloud-config\n' });
  const { hypervisor } = node;
  const land = hypervisor.late('define', kind === 'create' ? 'aborted' : 'timed-out');
  const id = await submit(node, creationOf(request, kind));
  const define = `define ${uidOf(request)}`;
  await until('it is being defined', () => hypervisor.calls.includes(define));
  if (kind === 'create') await node.agent.operations.cancel(id, never);
  // An apply cannot be cancelled, and is tried again until it has failed for good.
  else node.agent.validator.validate = () => Promise.reject(REFUSED);
  assert.equal(await stateOf(node, id), kind === 'create' ? 'cancelled' : 'failed');
  const { domains } = hypervisor;
  const find = () => domains.find(uidOf(request), never);
  const untilGone = () => until('it is gone', async () => (await find()) === undefined);
  return { node, hypervisor, request, uid: uidOf(request), land, find, untilGone };
}

for (const kind of ['create', 'apply'] as const) {
  test(`what ${kind === 'create' ? 'a cancelled' : 'a failed'} ${kind} had defined is removed when it lands, seen by nobody`, async () => {
    const { node, hypervisor, request, uid, land, untilGone } = await givenUp(kind);
    await using _node = node;
    const seen: string[] = [];
    const stop = new AbortController();
    const watching = (async () => {
      for await (const event of node.inventory.watch(EVERYTHING, undefined, stop.signal)) {
        if ('object' in event) seen.push(event.type);
      }
    })().catch(() => undefined);
    land();
    await untilGone();
    await until('nobody is at it', () => node.locks.purposeOf(uid) === undefined);
    await node.assertNothingOf(request);
    assert.equal(await node.findOwner(uid), undefined);
    assert.ok(!hypervisor.calls.includes(`start ${uid}`));
    stop.abort(new Error('enough'));
    await watching;
    assert.deepEqual(seen, []);
  });
}

test('one that somebody has started since is a VM', async () => {
  const { node, hypervisor, uid, land, find } = await givenUp();
  await using _node = node;
  await node.agent.tasks[Symbol.asyncDispose]();
  land();
  await hypervisor.domains.putSeed(uid, new Uint8Array(), never);
  await hypervisor.domains.start(uid, never);
  await using next = await OneNode.open({ hypervisor, journal: node.journal });
  next.agent.run();
  await until('it is recorded', () => next.ownership.isOwner(uid));
  assert.equal((await find())?.state, 'running');
});

test('one that is started while it is being removed is a VM that is owned', async () => {
  const { node, hypervisor, uid, land, find } = await givenUp();
  await using _node = node;
  await node.agent.tasks[Symbol.asyncDispose]();
  land();
  const definition = (await find())?.definition;
  assert.ok(definition);
  await using next = await OneNode.open({ hypervisor, journal: node.journal });
  await next.ownership.own(definition);
  const goOn = hypervisor.block('undefine');
  next.agent.run();
  await until('it is being removed', () => hypervisor.calls.includes(`undefine ${uid}`));
  await hypervisor.domains.putSeed(uid, new Uint8Array(), never);
  await hypervisor.domains.start(uid, never);
  goOn();
  await until('it is owned', () => next.ownership.isOwner(uid));
  assert.equal((await find())?.state, 'running');
});

test('what a creation has left that failed for good is removed, be it recorded or not', async () => {
  await using node = await OneNode.open();
  const { hypervisor } = node;
  node.agent.run();
  const request = newRequest('web');
  hypervisor.fail('start', REFUSED);
  // It cannot be taken back at once.
  hypervisor.fail('undefine', REFUSED);
  const id = await submit(node, creationOf(request));
  assert.equal(await stateOf(node, id), 'failed');
  await until('it is gone', async () => {
    return (await hypervisor.domains.find(uidOf(request), never)) === undefined;
  });
  await until('nobody is at it', () => node.locks.purposeOf(uidOf(request)) === undefined);
  await node.assertNothingOf(request);
});

test('a creation that is repeated begins anew, and its VM stays', async () => {
  const { node, hypervisor, request, uid, land, find } = await givenUp();
  await using _node = node;
  await node.agent.tasks[Symbol.asyncDispose]();
  land();
  const landed = (await find())?.definition?.createdAtMs;
  await using next = await OneNode.open({ hypervisor, journal: node.journal });
  // Nobody else may be quicker.
  await next.inventory.refresh(never);
  const id = await submit(next, creationOf(request));
  next.agent.run();
  assert.equal(await stateOf(next, id), 'succeeded');
  const made = await find();
  assert.equal(made?.state, 'running');
  assert.ok((made.definition?.createdAtMs ?? 0) >= (landed ?? 0));
  assert.ok(next.ownership.isOwner(uid));
  assert.equal((await next.privateFiles.listVms(never)).length, 1);
});

test('a VM that was there before stays when a change of it or another creation fails', async () => {
  await using node = await OneNode.open();
  const { hypervisor } = node;
  node.agent.run();
  const request = newRequest('web', { runStrategy: 'Manual' });
  assert.equal(await stateOf(node, await submit(node, creationOf(request))), 'succeeded');
  hypervisor.fail('define', REFUSED);
  const changed = { ...request, metadata: { ...request.metadata, labels: { tier: 'db' } } };
  const id = await submit(node, creationOf(changed, 'apply'));
  assert.equal(await stateOf(node, id), 'failed');
  hypervisor.forgetCalls();
  await until('it is looked at', () => {
    return hypervisor.calls.filter((call) => call === 'list').length > 2;
  });
  assert.ok(await hypervisor.domains.find(uidOf(request), never));
  assert.ok(node.ownership.isOwner(uidOf(request)));
});

test('a creation that is cancelled while the hypervisor is away ends when it has been taken back', async () => {
  await using node = await OneNode.open();
  const { hypervisor } = node;
  const { operations } = node.agent;
  node.agent.run();
  const request = newRequest('web', { runStrategy: 'Always' });
  const goOn = hypervisor.block('start');
  const id = await submit(node, creationOf(request));
  await until('it is being started', () => hypervisor.calls.includes(`start ${uidOf(request)}`));
  hypervisor.disconnect();
  goOn();
  await until('it is tried again', () => {
    return node.agent.reconciler
      .states()
      .some(({ name, retries }) => name === 'operations' && retries > 1);
  });
  assert.equal((await operations.cancel(id, never)).state, 'running');
  hypervisor.reconnect();
  assert.equal(await stateOf(node, id), 'cancelled');
  await node.assertNothingOf(request);
});
