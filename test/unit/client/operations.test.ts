import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Operation, OperationKind, OperationState } from '../../../src/client/api.ts';
import { operationFailure } from '../../../src/client/operation-failure.ts';
import { followOperation, watchOperations } from '../../../src/client/watches.ts';
import { startAgent } from './served-agent.ts';

const never = new AbortController().signal;
const QUICKLY = { signal: never, minDelayMs: 5, maxDelayMs: 20 } as const;
const ID = '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11';
const OTHER_ID = ID.replace('6b', '7b');
const WEB = { name: 'web' };
const {
  OPERATION_STATE_CANCELLED,
  OPERATION_STATE_FAILED,
  OPERATION_STATE_PENDING,
  OPERATION_STATE_RUNNING,
  OPERATION_STATE_SUCCEEDED,
  OPERATION_STATE_SUPERSEDED,
} = OperationState;
const WAITING = { state: OPERATION_STATE_RUNNING, step: 'waiting-for-guest' };
const DONE = { state: OPERATION_STATE_SUCCEEDED, step: '' };

test('every change of a VM answers with its operation, by the id that was given', async () => {
  await using lab = await startAgent();
  const { vms } = lab.client;
  const call = { signal: never, operationId: ID };
  const vm = { metadata: WEB, spec: { running: false } };
  const kinds = [
    await vms.create(vm, call),
    await vms.apply(vm, call),
    await vms.start(WEB, call),
    await vms.shutdown(WEB, { ...call, timeoutMs: 90_500 }),
    await vms.destroy(WEB, call),
    await vms.delete(WEB, call),
  ].map(({ operation }) => [operation?.id, operation?.kind]);
  assert.deepEqual(kinds, [
    [ID, OperationKind.OPERATION_KIND_CREATE],
    [ID, OperationKind.OPERATION_KIND_APPLY],
    [ID, OperationKind.OPERATION_KIND_START],
    [ID, OperationKind.OPERATION_KIND_SHUTDOWN],
    [ID, OperationKind.OPERATION_KIND_DESTROY],
    [ID, OperationKind.OPERATION_KIND_DELETE],
  ]);
  assert.deepEqual(lab.agent.shutdownRequests[0]?.timeout, { seconds: 90n, nanos: 500_000_000 });
});

test('operations are listed by VM, those that go on alone, whatever the size of a page', async () => {
  await using lab = await startAgent();
  const { operations, vms } = lab.client;
  for (const name of ['web', 'db']) lab.agent.put(name);
  for (let index = 0; index < 501; index++) {
    lab.agent.operations.put(`${index}`, () =>
      Operation.create({
        id: `${index}`,
        virtualMachine: { namespace: 'default', ...WEB },
        state: OPERATION_STATE_SUCCEEDED,
      }),
    );
  }
  lab.agent.operationSteps = [WAITING];
  await vms.shutdown({ name: 'db' }, { signal: never, operationId: ID });
  const ofWeb = await Array.fromAsync(operations.listAll({ virtualMachine: WEB }, QUICKLY));
  assert.equal(new Set(ofWeb.map(({ id }) => id)).size, 501);
  const active = await Array.fromAsync(operations.listAll({ activeOnly: true }, QUICKLY));
  assert.deepEqual(
    active.map(({ id }) => id),
    [ID],
  );
  const page = await operations.list({ pageSize: 2 }, { signal: never });
  assert.equal(page.operations.length, 2);
});

test('an operation is got and cancelled', async () => {
  await using lab = await startAgent();
  lab.agent.put('web');
  lab.agent.operationSteps = [WAITING];
  await lab.client.vms.shutdown(WEB, { signal: never, operationId: ID });
  const { state } = await lab.client.operations.cancel(ID, { signal: never });
  assert.equal(state, OPERATION_STATE_CANCELLED);
  assert.equal((await lab.client.operations.get(ID, { signal: never })).state, state);
  await assert.rejects(lab.client.operations.get(OTHER_ID, { signal: never }), {
    reason: 'OPERATION_NOT_FOUND',
  });
});

test('a watch tells of the operations of a VM, and goes on after a lost connection', async () => {
  await using lab = await startAgent();
  for (const name of ['web', 'db']) lab.agent.put(name);
  lab.agent.operationSteps = [WAITING];
  await lab.client.vms.shutdown({ name: 'db' }, { signal: never, operationId: OTHER_ID });
  await lab.client.vms.shutdown(WEB, { signal: never, operationId: ID });
  const events = watchOperations(lab.client, { ...QUICKLY, virtualMachine: WEB });
  const next = async () => {
    const { value } = await events.next();
    assert.ok(value !== undefined);
    return value.type === 'synced' ? value.type : `${value.type} ${value.object.id}`;
  };
  assert.deepEqual([await next(), await next()], [`added ${ID}`, 'synced']);
  lab.agent.stop();
  await lab.agent.listen(lab.address);
  assert.equal(await next(), 'synced');
  await lab.client.operations.cancel(ID, { signal: never });
  assert.equal(await next(), `modified ${ID}`);
  await events.return(undefined);
});

/** The states and steps that a follower is told. */
async function follow(lab: Awaited<ReturnType<typeof startAgent>>, begun?: Operation) {
  const told: string[] = [];
  for await (const { state, step } of followOperation(lab.client, ID, { ...QUICKLY, begun })) {
    told.push(`${state} ${step}`.trim());
  }
  return told;
}

test('an operation is followed step by step to its end', async () => {
  await using lab = await startAgent();
  lab.agent.put('web');
  lab.agent.operationSteps = [WAITING, DONE];
  const call = { signal: never, operationId: ID };
  const { operation } = await lab.client.vms.shutdown(WEB, call);
  assert.deepEqual(await follow(lab, operation), [
    `${OPERATION_STATE_PENDING}`,
    `${OPERATION_STATE_PENDING}`,
    `${OPERATION_STATE_RUNNING} waiting-for-guest`,
    `${OPERATION_STATE_SUCCEEDED}`,
  ]);
});

test('one that ended before anybody watched, and that no watch tells of any more, is followed too', async () => {
  await using lab = await startAgent();
  lab.agent.put('web');
  await lab.client.vms.start(WEB, { signal: never, operationId: ID });
  lab.agent.forgottenOperations.add(ID);
  assert.deepEqual(await follow(lab), [`${OPERATION_STATE_SUCCEEDED}`]);
});

test('one that ended while the agent was away is found to have ended', async () => {
  await using lab = await startAgent();
  lab.agent.put('web');
  lab.agent.operationSteps = [WAITING];
  await lab.client.vms.shutdown(WEB, { signal: never, operationId: ID });
  const told: OperationState[] = [];
  for await (const { state, step } of followOperation(lab.client, ID, QUICKLY)) {
    told.push(state);
    if (step === '' || told.length > 4) continue;
    lab.agent.stop();
    lab.agent.operations.put(ID, (origin) => ({
      ...Operation.create({ id: ID, ...DONE }),
      endTime: { seconds: 1n, nanos: 0 },
      origin,
    }));
    lab.agent.restartEpoch();
    lab.agent.forgottenOperations.add(ID);
    await lab.agent.listen(lab.address);
  }
  assert.equal(told.at(-1), OPERATION_STATE_SUCCEEDED);
});

test('an agent that is lost as soon as the operation has begun is waited for', async () => {
  await using lab = await startAgent();
  lab.agent.put('web');
  lab.agent.operationSteps = [DONE];
  const call = { signal: never, operationId: ID };
  const { operation } = await lab.client.vms.shutdown(WEB, call);
  lab.agent.stop();
  let listens: Promise<number> | undefined;
  const onLost = () => {
    listens ??= lab.agent.listen(lab.address);
  };
  const options = { ...QUICKLY, onLost, begun: operation };
  const told = await Array.fromAsync(followOperation(lab.client, ID, options));
  assert.equal(told.at(-1)?.state, OPERATION_STATE_SUCCEEDED);
});

test('why an operation has not succeeded is an error with its reason', () => {
  const ended = (more: Parameters<typeof Operation.create>[0]) =>
    operationFailure(Operation.create({ id: ID, ...more }));
  assert.equal(ended({ state: OPERATION_STATE_SUCCEEDED }), undefined);
  const error = { reason: 'GUEST_DID_NOT_STOP', message: 'It did not', metadata: { vmId: 'u' } };
  const failed = ended({ state: OPERATION_STATE_FAILED, error });
  assert.deepEqual(
    [failed?.reason, failed?.message, failed?.metadata],
    [error.reason, error.message, { vmId: 'u', operationId: ID }],
  );
  const superseded = ended({ state: OPERATION_STATE_SUPERSEDED, supersededBy: OTHER_ID });
  assert.equal(superseded?.reason, 'OPERATION_SUPERSEDED');
  assert.match(superseded.message, new RegExp(OTHER_ID));
  const cancelled = { reason: 'OPERATION_CANCELLED', message: 'Somebody did' };
  assert.equal(
    ended({ state: OPERATION_STATE_CANCELLED, error: cancelled })?.message,
    'Somebody did',
  );
  const newer = ended({ state: OPERATION_STATE_FAILED, error: { ...error, reason: 'DISK_BUSY' } });
  assert.deepEqual([newer?.reason, newer?.metadata['reason']], ['INTERNAL', 'DISK_BUSY']);
});
