import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import {
  hasEnded,
  type Operation,
  type OperationKind,
  type OperationParameters,
} from '../../../../src/agent/operations/operation.ts';
import { OperationStore } from '../../../../src/agent/operations/operation-store.ts';
import type { CallContext } from '../../../../src/agent/rpc/call-context.ts';
import { LOCAL_CALLER } from '../../../../src/agent/rpc/identity.ts';
import { toVirtualMachine } from '../../../../src/agent/rpc/virtual-machine-conversion.ts';
import { virtualMachineHandlers } from '../../../../src/agent/rpc/virtual-machine-handlers.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { VirtualMachine } from '../../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { until } from '../../../fixtures/until.ts';
import { TwoNodes } from '../migration/two-nodes.ts';
import { never, newRequest, OneNode, uidOf } from '../vms/one-node.ts';

const ALL = { vmUid: undefined, vmName: undefined, namespace: undefined, activeOnly: false };
const FIRST = { size: 0, token: '' };

function newContext(): CallContext {
  return { caller: LOCAL_CALLER, requestId: 'r-1', signal: never, about() {} };
}

/** A node with a VM that runs, and a caller of it. */
async function withVm(options: Parameters<typeof OneNode.open>[0] = {}) {
  const node = await OneNode.open(options);
  const request = newRequest();
  await node.create(request);
  node.agent.run();
  const { operations } = node.agent;
  const uid = uidOf(request);
  const vm = { namespace: 'test', name: 'web', uid: undefined };
  const submit = async (
    kind: OperationKind,
    options: { readonly id?: string | undefined; readonly parameters?: OperationParameters } = {},
  ) => {
    const { parameters = {} } = options;
    const id = 'id' in options ? options.id : randomUUID();
    const asked = { id, kind, vm, parameters, requestedBy: 'tester' };
    return (await operations.submit(asked, never)).operation;
  };
  const ended = async (operation: Operation): Promise<Operation> => {
    await until('it ends', async () => hasEnded(await operations.get(operation.id)));
    return operations.get(operation.id);
  };
  const stateOf = async () => (await node.hypervisor.domains.find(uid, never))?.state;
  return { node, operations, request, vm, uid, submit, ended, stateOf };
}

test('an operation is answered before it is done, and kept with who asked and what came of it', async () => {
  const { node, operations, uid, submit, ended, stateOf } = await withVm();
  await using _node = node;
  const goOn = node.hypervisor.block('destroy');
  const asked = await submit('destroy');
  assert.partialDeepStrictEqual(asked, {
    kind: 'destroy',
    vm: { namespace: 'test', name: 'web', uid },
    requestedBy: 'tester',
    endedAtMs: undefined,
  });
  assert.equal(await stateOf(), 'running');
  goOn();
  const end = await ended(asked);
  assert.equal(await stateOf(), 'stopped');
  assert.partialDeepStrictEqual(end, { id: asked.id, state: 'succeeded', step: '' });
  const { items } = await operations.list({ ...ALL, vmUid: uid }, FIRST);
  assert.deepEqual(
    items.map(({ id }) => id),
    [asked.id],
  );
});

test('the same id again answers with the same operation, also when that has ended', async () => {
  const { node, submit, ended } = await withVm();
  await using _node = node;
  const id = randomUUID();
  const [first, second] = await Promise.all([submit('destroy', { id }), submit('destroy', { id })]);
  assert.equal(first.id, second.id);
  const end = await ended(first);
  await node.vms.start({ namespace: 'test', name: 'web', uid: undefined }, never);
  node.hypervisor.forgetCalls();
  assert.deepEqual(await submit('destroy', { id }), end);
  assert.ok(!node.hypervisor.calls.some((call) => call.startsWith('destroy')));
});

test('an id that was used for something else is refused', async () => {
  const { node, operations, submit, ended } = await withVm();
  await using _node = node;
  const id = randomUUID();
  await ended(await submit('destroy', { id }));
  await assert.rejects(submit('start', { id }), { reason: 'OPERATION_ID_REUSED' });
  const other = { namespace: 'test', name: 'db', uid: undefined };
  const request = {
    id,
    kind: 'destroy',
    vm: other,
    parameters: {},
    requestedBy: 'tester',
  } as const;
  await assert.rejects(operations.submit(request, never), { reason: 'OPERATION_ID_REUSED' });
  const slow = { id, parameters: { timeoutMs: 1_000 } };
  await assert.rejects(submit('shutdown', slow), { reason: 'OPERATION_ID_REUSED' });
});

test('what can be told at once to be wrong is refused and leaves no operation', async () => {
  const { node, operations, submit } = await withVm();
  await using _node = node;
  await assert.rejects(submit('delete'), { reason: 'VM_RUNNING' });
  const vm = { namespace: 'test', name: 'nobody', uid: undefined };
  const request = { id: undefined, kind: 'start', vm, parameters: {}, requestedBy: 'x' } as const;
  await assert.rejects(operations.submit(request, never), { reason: 'VM_NOT_FOUND' });
  assert.deepEqual((await operations.list(ALL, FIRST)).items, []);
});

test('a trial of a creation says that another operation is in its way, as the creation itself does', async () => {
  await using node = await OneNode.open();
  node.agent.run();
  // Between two attempts nothing is locked.
  node.hypervisor.fail('define', new AgentError('STORAGE_FULL', 'Cannot create VM: full'), 1_000);
  const handlers = virtualMachineHandlers(node.vms, node.agent.operations);
  const planned = toVirtualMachine(await node.create(newRequest(), { dryRun: true }));
  const create = (labels: Record<string, string>, dryRun: boolean, operationId = '') => {
    const metadata = { namespace: 'test', name: 'web', labels };
    const virtualMachine = VirtualMachine.fromPartial({ ...planned, metadata });
    const request = { virtualMachine, dryRun, reservationId: '', operationId, secrets: {} };
    return handlers.createVirtualMachine(request, newContext());
  };
  const { operation } = await create({}, false, randomUUID());
  // Long enough between two attempts for all that follows.
  await until('it was tried', async () =>
    node.agent.reconciler.states().some(({ retries }) => retries > 3),
  );
  for (const dryRun of [true, false]) {
    await assert.rejects(create({ its: 'another' }, dryRun), (error: AgentError) => {
      assert.equal(error.reason, 'VM_BUSY');
      assert.equal(error.metadata['operationId'], operation?.id);
      return true;
    });
  }
  // Who repeats it means it.
  assert.ok((await create({}, true)).virtualMachine);
});

test('an operation that fails says why, and the caller who waits is told the same', async () => {
  const { node, operations, submit, ended } = await withVm();
  await using _node = node;
  const error = new AgentError('HYPERVISOR_FAILURE', 'no', { metadata: { domain: 'web' } });
  node.hypervisor.fail('destroy', error);
  const operation = await submit('destroy');
  await assert.rejects(operations.untilDone({ operation, details: undefined }, never), {
    reason: 'HYPERVISOR_FAILURE',
    message: 'no',
    metadata: { domain: 'web', operationId: operation.id },
  });
  const end = await ended(operation);
  assert.deepEqual([end.state, end.error?.reason], ['failed', 'HYPERVISOR_FAILURE']);
});

test('while the hypervisor is away an operation waits for it', async () => {
  const { node, submit, ended, stateOf } = await withVm();
  await using _node = node;
  const away = new AgentError('HYPERVISOR_UNREACHABLE', 'away');
  node.hypervisor.fail('destroy', away, 3);
  const end = await ended(await submit('destroy'));
  assert.deepEqual([end.state, await stateOf()], ['succeeded', 'stopped']);
});

test('a shutdown ends when its guest is off', async () => {
  const { node, operations, uid, submit, ended } = await withVm();
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  const asked = await submit('shutdown');
  await until('the guest is asked', async () => {
    return (await operations.get(asked.id)).step === 'waiting-for-guest';
  });
  // Who waits without naming it waits only so long.
  await operations.untilDone({ operation: asked, details: undefined }, never);
  assert.ok(!hasEnded(await operations.get(asked.id)));
  node.hypervisor.stopGuest(uid, 'shutdown');
  assert.equal((await ended(asked)).state, 'succeeded');
});

test('a shutdown whose guest does not power off in time fails', async () => {
  const { node, submit, ended, stateOf } = await withVm();
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  const end = await ended(await submit('shutdown', { parameters: { timeoutMs: 1 } }));
  assert.deepEqual([end.state, end.error?.reason], ['failed', 'GUEST_DID_NOT_STOP']);
  assert.equal(await stateOf(), 'running');
});

test('a newer operation on the power takes the place of an older one', async () => {
  const { node, operations, submit, ended, stateOf } = await withVm();
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  const older = await submit('shutdown');
  const newer = await submit('destroy');
  assert.equal((await ended(newer)).state, 'succeeded');
  const end = await operations.get(older.id);
  assert.deepEqual([end.state, end.supersededBy], ['superseded', newer.id]);
  assert.equal(await stateOf(), 'stopped');
  await assert.rejects(operations.untilDone({ operation: older, details: undefined }, never), {
    reason: 'OPERATION_SUPERSEDED',
  });
});

test('a change may be made while a guest is being shut down', async () => {
  const { node, submit, ended, request } = await withVm();
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  await submit('shutdown');
  const manifest = { ...request, metadata: { ...request.metadata, labels: { app: 'shop' } } };
  const parameters = { manifest, updateMask: undefined, generation: undefined };
  const end = await ended(await submit('apply', { parameters }));
  assert.deepEqual([end.state, end.result], ['succeeded', 'CHANGED']);
});

test('an operation is refused while one is in its way, naming it and how to end it', async () => {
  const { node, submit } = await withVm();
  await using _node = node;
  node.hypervisor.block('destroy');
  const first = await submit('delete', { parameters: { force: true } });
  await assert.rejects(submit('start'), ({ reason, message }: AgentError) => {
    assert.equal(reason, 'VM_BUSY');
    assert.match(message, new RegExp(`${first.id} \\(delete\\).*novactl operation cancel`));
    return true;
  });
});

test('the same request without an id means the one that goes on', async () => {
  const { node, submit, ended } = await withVm();
  await using _node = node;
  const goOn = node.hypervisor.block('destroy');
  const parameters = { force: true };
  const first = await submit('delete', { id: undefined, parameters });
  const second = await submit('delete', { id: undefined, parameters });
  assert.equal(first.id, second.id);
  goOn();
  assert.equal((await ended(first)).state, 'succeeded');
});

test('a creation that is cancelled leaves nothing', async () => {
  const { node, operations, vm, ended } = await withVm();
  await using _node = node;
  const manifest = newRequest('db');
  const asked = { ...vm, name: 'db' };
  const parameters = { manifest, reservationId: undefined };
  node.hypervisor.block('start');
  const { operation } = await operations.submit(
    { id: randomUUID(), kind: 'create', vm: asked, parameters, requestedBy: 'tester' },
    never,
  );
  await until('it is being started', () =>
    node.hypervisor.calls.includes(`start ${uidOf(manifest)}`),
  );
  await operations.cancel(operation.id, never);
  const end = await ended(operation);
  assert.deepEqual([end.state, end.error?.reason], ['cancelled', 'OPERATION_CANCELLED']);
  await node.assertNothingOf(manifest);
  assert.deepEqual(await operations.cancel(operation.id, never), end);
});

test('a shutdown that is cancelled is no longer waited for', async () => {
  const { node, operations, submit, ended } = await withVm();
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  const asked = await submit('shutdown');
  await operations.cancel(asked.id, never);
  assert.equal((await ended(asked)).state, 'cancelled');
});

test('what the hypervisor has been told to do is not called cancelled', async () => {
  const { node, operations, submit, ended, stateOf } = await withVm();
  await using _node = node;
  const goOn = node.hypervisor.block('destroy');
  const asked = await submit('destroy');
  await until('it is told', () => node.hypervisor.calls.some((call) => call.startsWith('destroy')));
  assert.equal((await operations.cancel(asked.id, never)).state, 'running');
  goOn();
  assert.deepEqual([(await ended(asked)).state, await stateOf()], ['succeeded', 'stopped']);
});

test('an operation that is not known is not found', async () => {
  const { node, operations } = await withVm();
  await using _node = node;
  await assert.rejects(operations.get(randomUUID()), { reason: 'OPERATION_NOT_FOUND' });
  await assert.rejects(operations.cancel(randomUUID(), never), { reason: 'OPERATION_NOT_FOUND' });
});

test('who watches is told of every change of an operation, up to its end', async () => {
  const { node, operations, submit } = await withVm();
  await using _node = node;
  const asked = await submit('destroy');
  const seen: string[] = [];
  for await (const event of operations.watch({ ...ALL, id: asked.id }, undefined, never)) {
    if ('object' in event) seen.push(event.object.state);
    if (seen.at(-1) === 'succeeded') break;
  }
  assert.equal(seen.at(-1), 'succeeded');
});

test('operations are listed a page at a time', async () => {
  const { node, operations, submit, ended } = await withVm();
  await using _node = node;
  const ids: string[] = [];
  for (const kind of ['destroy', 'start', 'destroy'] as const) {
    ids.push((await ended(await submit(kind))).id);
  }
  const found: string[] = [];
  let token = '';
  do {
    const page = await operations.list(ALL, { size: 2, token });
    found.push(...page.items.map(({ id }) => id));
    token = page.nextToken;
  } while (token !== '');
  assert.deepEqual(found.toSorted(), ids.toSorted());
});

test('a thousand operations at once are all done, and others are not held up', async () => {
  const { node, operations, submit, ended, vm } = await withVm();
  await using _node = node;
  const ids = Array.from({ length: 1_000 }, () => randomUUID());
  const asked = await Promise.all(ids.map((id) => submit('destroy', { id })));
  const other = newRequest('db');
  const { operation } = await operations.submit(
    {
      id: randomUUID(),
      kind: 'create',
      vm: { ...vm, name: 'db' },
      parameters: { manifest: other, reservationId: undefined },
      requestedBy: 'tester',
    },
    never,
  );
  assert.equal((await ended(operation)).state, 'succeeded');
  const states = new Set<string>();
  for (const { id } of asked) states.add((await ended(await operations.get(id))).state);
  assert.ok(states.has('succeeded'));
  assert.deepEqual(
    [...states].filter((state) => !['succeeded', 'superseded'].includes(state)),
    [],
  );
});

test('no secret of a manifest gets into the journal', async () => {
  const { node, operations, vm, ended } = await withVm();
  await using _node = node;
  const manifest = newRequest('db', { userData: 'password: hunter2' });
  const parameters = { manifest, reservationId: undefined };
  const asked = { ...vm, name: 'db' };
  const { operation } = await operations.submit(
    { id: randomUUID(), kind: 'create', vm: asked, parameters, requestedBy: 'tester' },
    never,
  );
  assert.doesNotMatch(JSON.stringify(operation), /hunter2/);
  const end = await ended(operation);
  assert.equal(end.state, 'succeeded');
  assert.match(JSON.stringify(end.parameters), /"userData":"sha256:/);
  assert.doesNotMatch(JSON.stringify(end), /hunter2/);
  assert.ok(!node.journalText().includes('hunter2'));
  assert.ok((await node.privateFiles.listVms(never)).includes(uidOf(manifest)));
});

test('a migration is an operation of the same id, and to cancel either cancels both', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { operations, migrations } = nodes.source.agent;
  const operation = await operations.get(nodes.id);
  assert.deepEqual([operation.kind, operation.requestedBy], ['migrate', 'tester']);
  await operations.cancel(nodes.id, never);
  assert.equal((await nodes.ended()).phase, 'cancelled');
  assert.equal((await migrations.get(nodes.id)).phase, 'cancelled');
  await until('it has ended', async () => hasEnded(await operations.get(nodes.id)));
  const { state, error } = await operations.get(nodes.id);
  assert.deepEqual([state, error?.reason], ['cancelled', 'MIGRATION_CANCELLED']);
});

test('a VM that is being migrated is not started or shut down, and whoever destroys it cancels the migration', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { operations } = nodes.source.agent;
  const { namespace, name, uid } = nodes.vm;
  const submit = (kind: OperationKind) =>
    operations.submit(
      {
        id: randomUUID(),
        kind,
        vm: { namespace, name, uid },
        parameters: {},
        requestedBy: 'tester',
      },
      never,
    );
  for (const kind of ['start', 'shutdown'] as const) {
    await assert.rejects(submit(kind), { reason: 'VM_BUSY', message: /novactl migration cancel/ });
  }
  const { operation } = await submit('destroy');
  assert.equal((await nodes.ended()).phase, 'cancelled');
  await until('it is done', async () => hasEnded(await operations.get(operation.id)));
  assert.equal((await operations.get(operation.id)).state, 'succeeded');
  assert.equal((await nodes.source.find(uid))?.state, 'stopped');
});

test('who watches one that ended before the agent started is told so', async () => {
  await using before = await OneNode.open();
  const request = newRequest();
  await before.create(request);
  before.agent.run();
  const { namespace, name } = request.metadata;
  const id = randomUUID();
  const vm = { namespace, name, uid: undefined };
  const asked = { id, kind: 'destroy', vm, parameters: {}, requestedBy: 'tester' } as const;
  const submission = await before.agent.operations.submit(asked, never);
  await before.agent.operations.untilDone(submission, never);
  const { journal } = before;
  await before.agent.tasks[Symbol.asyncDispose]();
  await using node = await OneNode.open({ hypervisor: before.hypervisor, journal });
  const stop = new AbortController();
  const events = node.agent.operations.watch({ ...ALL, id }, undefined, stop.signal);
  const seen: string[] = [];
  for await (const event of events) {
    seen.push('object' in event ? `${event.type} ${event.object.state}` : event.type);
    if (event.type === 'synced') break;
  }
  assert.deepEqual(seen, ['reset', 'added succeeded', 'synced']);
});

/** How often a VM was asked for something by the hypervisor's method. */
const countOf = ({ hypervisor }: OneNode, method: string) =>
  hypervisor.calls.filter((call) => call.startsWith(method)).length;

const applying = (request: ReturnType<typeof newRequest>, change: object) => ({
  manifest: { ...request, ...change },
  updateMask: undefined,
  generation: undefined,
});

test('a guest that has not listened is asked again by the next shutdown', async () => {
  const { node, submit, ended, uid } = await withVm();
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  for (const asked of [1, 2]) {
    const end = await ended(await submit('shutdown', { parameters: { timeoutMs: 1 } }));
    assert.equal(end.error?.reason, 'GUEST_DID_NOT_STOP');
    assert.equal(countOf(node, `shutdown ${uid}`), asked);
  }
});

test('the time-out of a shutdown begins when the guest is asked', async () => {
  const { node, submit, ended, operations } = await withVm();
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  const away = new AgentError('HYPERVISOR_UNREACHABLE', 'away');
  node.hypervisor.fail('shutdown', away, 6);
  const asked = await submit('shutdown', { parameters: { timeoutMs: 1_000 } });
  await until('it is asked', async () => {
    return (await operations.get(asked.id)).step === 'waiting-for-guest';
  });
  node.hypervisor.stopGuest((await operations.get(asked.id)).vm.uid, 'shutdown');
  assert.equal((await ended(asked)).state, 'succeeded');
});

test('a shutdown of a VM that somebody moves away meanwhile has not shut it down', async () => {
  const { node, submit, ended, uid, operations } = await withVm();
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  const asked = await submit('shutdown');
  await until('it is asked', async () => {
    return (await operations.get(asked.id)).step === 'waiting-for-guest';
  });
  node.hypervisor.stopGuest(uid, 'migrated');
  const end = await ended(asked);
  assert.deepEqual([end.state, end.error?.reason], ['failed', 'VM_NOT_OWNED']);
});

test('what was cancelled while another operation of the VM is done is not done after it', async () => {
  const { node, submit, ended, request, stateOf, operations } = await withVm();
  await using _node = node;
  await ended(await submit('destroy'));
  const goOn = node.hypervisor.block('define');
  const defines = countOf(node, 'define');
  const metadata = { ...request.metadata, labels: { app: 'shop' } };
  const apply = await submit('apply', { parameters: applying(request, { metadata }) });
  await until('it is being changed', () => countOf(node, 'define') > defines);
  const start = await submit('start');
  assert.equal((await operations.cancel(start.id, never)).state, 'cancelled');
  goOn();
  await ended(apply);
  assert.equal((await ended(await submit('shutdown'))).state, 'succeeded');
  assert.deepEqual(
    [(await operations.get(start.id)).state, await stateOf()],
    ['cancelled', 'stopped'],
  );
});

test('an operation that has to wait holds up no other of its VM', async () => {
  const { node, submit, ended, request, stateOf } = await withVm();
  await using _node = node;
  node.hypervisor.fail('define', new AgentError('STORAGE_FULL', 'full'), 1_000);
  const metadata = { ...request.metadata, labels: { app: 'shop' } };
  await submit('apply', { parameters: applying(request, { metadata }) });
  await until('it was tried', async () =>
    node.hypervisor.calls.some((call) => call.startsWith('define')),
  );
  assert.equal((await ended(await submit('destroy'))).state, 'succeeded');
  assert.equal(await stateOf(), 'stopped');
});

test('a creation that is cancelled when its VM is made takes it away again', async () => {
  const { node, operations, vm, ended } = await withVm();
  await using _node = node;
  const manifest = newRequest('db');
  const goStart = node.hypervisor.block('start');
  const parameters = { manifest, reservationId: undefined };
  const asked = { id: randomUUID(), kind: 'create', parameters, requestedBy: 'tester' } as const;
  const { operation } = await operations.submit({ ...asked, vm: { ...vm, name: 'db' } }, never);
  const start = `start ${uidOf(manifest)}`;
  await until('it is being started', () => node.hypervisor.calls.includes(start));
  const goList = node.hypervisor.block('list');
  goStart();
  await operations.cancel(operation.id, never);
  goList();
  assert.equal((await ended(operation)).state, 'cancelled');
  assert.equal(await node.hypervisor.domains.find(uidOf(manifest), never), undefined);
});

test('a creation that is cancelled after its agent was killed takes away what that has made', async () => {
  await using before = await OneNode.open();
  const { journal, hypervisor } = before;
  const manifest = newRequest('db', { runStrategy: 'Always' });
  const parameters = { manifest, reservationId: undefined };
  const vm = { namespace: 'test', name: 'db', uid: undefined };
  const id = randomUUID();
  const asked = { id, kind: 'create', vm, parameters, requestedBy: 'tester' } as const;
  await before.agent.operations.submit(asked, never);
  await before.create(manifest);
  hypervisor.stopGuest(uidOf(manifest));
  hypervisor.forgetWhyStopped();
  await before.agent.tasks[Symbol.asyncDispose]();
  await using node = await OneNode.open({ hypervisor, journal });
  const { operations } = node.agent;
  await operations.cancel(id, never);
  node.agent.run();
  await until('it has ended', async () => hasEnded(await operations.get(id)));
  assert.equal((await operations.get(id)).state, 'cancelled');
  assert.equal(await hypervisor.domains.find(uidOf(manifest), never), undefined);
});

test('a VM that is off is not started because its creation is repeated', async () => {
  const { node, submit, ended, uid, stateOf, request } = await withVm();
  await using _node = node;
  node.hypervisor.stopGuest(uid);
  node.hypervisor.forgetWhyStopped();
  const parameters = { manifest: request, reservationId: undefined };
  assert.equal((await ended(await submit('create', { parameters }))).state, 'succeeded');
  assert.equal(await stateOf(), 'stopped');
});

test('a VM that is being created is there for whoever would delete, change or create one of its name', async () => {
  const { node, operations, vm, ended } = await withVm();
  await using _node = node;
  const { metadata, spec } = newRequest('db');
  const manifest = { metadata: { namespace: metadata.namespace, name: metadata.name }, spec };
  const db = { ...vm, name: 'db' };
  const goOn = node.hypervisor.block('define');
  const ask = (kind: OperationKind, parameters: OperationParameters) =>
    operations.submit({ id: randomUUID(), kind, vm: db, parameters, requestedBy: 'tester' }, never);
  const { operation } = await ask('create', { manifest, reservationId: undefined });
  await until('it is being made', () => countOf(node, 'define') > 1);
  await assert.rejects(ask('delete', { force: true }), { reason: 'VM_BUSY' });
  await assert.rejects(ask('create', { manifest, reservationId: undefined }), {
    reason: 'VM_BUSY',
  });
  goOn();
  assert.equal((await ended(operation)).state, 'succeeded');
});

test('the same request twice at the same moment is one operation, with an id or without', async () => {
  const { node, operations, vm, submit } = await withVm();
  await using _node = node;
  const parameters = { manifest: newRequest('db'), reservationId: undefined };
  const asked = { id: randomUUID(), kind: 'create', parameters, requestedBy: 'tester' } as const;
  const ask = () => operations.submit({ ...asked, vm: { ...vm, name: 'db' } }, never);
  const [first, second] = await Promise.all([ask(), ask()]);
  assert.equal(first.operation.id, second.operation.id);
  node.hypervisor.block('destroy');
  const [left, right] = await Promise.all([
    submit('destroy', { id: undefined }),
    submit('destroy', { id: undefined }),
  ]);
  assert.equal(left.id, right.id);
});

test('old operations that cannot be forgotten keep no new one from being done', async (context) => {
  const { node, operations, vm, ended } = await withVm();
  await using _node = node;
  const ask = (name: string) =>
    operations.submit(
      { id: randomUUID(), kind: 'delete', vm: { ...vm, name }, parameters: {}, requestedBy: 'x' },
      never,
    );
  for (let number = 1; number < 100; number += 1) await ask('nobody');
  context.mock.method(OperationStore.prototype, 'prune', () =>
    Promise.reject(new AgentError('STORAGE_FULL', 'full')),
  );
  const parameters = { force: true };
  const asked = { id: randomUUID(), kind: 'delete', vm, parameters, requestedBy: 'x' } as const;
  const { operation } = await operations.submit(asked, never);
  assert.equal((await ended(operation)).state, 'succeeded');
});

test('what a caller should know of an operation that has succeeded stands in it', async () => {
  const { node, submit, ended, request } = await withVm();
  await using _node = node;
  const halted = applying(request, { spec: { ...request.spec, runStrategy: 'Halted' } });
  await ended(await submit('apply', { parameters: halted }));
  await until('it is off', async () => {
    return (
      (await node.vms.get({ namespace: 'test', name: 'web', uid: undefined }, never)).phase ===
      'stopped'
    );
  });
  node.hypervisor.fail('start', new AgentError('HYPERVISOR_FAILURE', 'no'));
  const end = await ended(await submit('apply', { parameters: applying(request, {}) }));
  assert.deepEqual([end.state, end.result], ['succeeded', 'CHANGED']);
  assert.match(end.warnings.join(), /was changed but not started: no/);
});

test('a shutdown that keeps failing is asked for less and less often', async () => {
  const { node, operations, submit, request } = await withVm();
  await using _node = node;
  node.hypervisor.fail('shutdown', new AgentError('HYPERVISOR_FAILURE', 'no'), 1_000);
  const halted = applying(request, { spec: { ...request.spec, runStrategy: 'Halted' } });
  await submit('apply', { parameters: halted });
  const shutdowns = async () => {
    const { items } = await operations.list(ALL, FIRST);
    return items.filter(({ kind }) => kind === 'shutdown');
  };
  await until('it was asked for often', async () => (await shutdowns()).length >= 7);
  const times = (await shutdowns()).map(({ requestedAtMs }) => requestedAtMs).toReversed();
  // Each wait is twice the one before, from 1 ms on.
  assert.ok((times[6] ?? 0) - (times[5] ?? 0) >= 32);
});

test('a migration that has failed is over for its operation too, whatever it has failed for', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.hypervisor.fail('migrate', new AgentError('HYPERVISOR_UNREACHABLE', 'away'));
  await nodes.start();
  const { reason } = await nodes.ended();
  const { operations } = nodes.source.agent;
  await until('it has ended', async () => hasEnded(await operations.get(nodes.id)));
  const { state, error } = await operations.get(nodes.id);
  assert.deepEqual([state, error?.reason], ['failed', reason]);
});

test('a VM may be migrated again as soon as its migration has ended, and not before', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { source } = nodes;
  const { migrations } = source.agent;
  const id = randomUUID();
  nodes.route(id);
  const again = { id, spec: nodes.spec, labels: {}, requestedBy: 'tester' };
  await assert.rejects(migrations.start(again, never), { reason: 'VM_BUSY' });
  const finished = nodes.ended();
  await migrations.cancel(nodes.id);
  await finished;
  await until('it is free', () => source.agent.locks.purposeOf(nodes.vm.uid) === undefined);
  source.hypervisor.manualProgress = false;
  await migrations.start(again, never);
  assert.equal((await nodes.ended(id)).phase, 'completed');
});

test('a migration is refused for the id of another operation, and for one that came while both nodes were checked', async () => {
  using nodes = await TwoNodes.open();
  const { operations } = nodes.source.agent;
  const { namespace, name, uid } = nodes.vm;
  const nobody = { namespace, name: 'nobody', uid: undefined };
  const asked = { kind: 'delete', vm: nobody, parameters: {}, requestedBy: 'tester' } as const;
  await operations.submit({ ...asked, id: nodes.id }, never);
  await assert.rejects(nodes.start(), { reason: 'OPERATION_ID_REUSED' });
  const checking = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  nodes.source.wire.onCall = async (method) => {
    if (method !== 'check') return;
    checking.resolve();
    await goOn.promise;
  };
  nodes.source.hypervisor.slowShutdown = true;
  const id = randomUUID();
  const { migrations } = nodes.source.agent;
  const request = { id, spec: nodes.spec, labels: {}, requestedBy: 'tester' };
  const busy = assert.rejects(migrations.start(request, never), { reason: 'VM_BUSY' });
  await checking.promise;
  const shutdown = { kind: 'shutdown', parameters: {}, requestedBy: 'tester' } as const;
  await operations.submit({ ...shutdown, id: randomUUID(), vm: { namespace, name, uid } }, never);
  goOn.resolve();
  await busy;
});
