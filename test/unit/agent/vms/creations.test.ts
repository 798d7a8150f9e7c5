import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { Vm } from '../../../../src/agent/vms/vm.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { until } from '../../../fixtures/until.ts';
import { ask, done, endOf } from '../operations/asking-node.ts';
import { EVERYTHING, never, newRequest, OneNode, refOf, uidOf, WHOLE } from './one-node.ts';

const request = newRequest('web', { memory: '64Mi' });
const vm = { ...refOf(request), uid: uidOf(request) };
const creation = {
  kind: 'create',
  vm,
  parameters: { manifest: request, reservationId: undefined, ownershipEpoch: undefined },
} as const;
const application = {
  kind: 'apply',
  vm,
  parameters: { manifest: request, updateMask: undefined, generation: undefined },
} as const;

const text = ({ definition: { name }, phase, reason }: Vm) => `${name} ${phase} ${reason}`;

/** A node whose VMs are watched. */
async function watched(options: Parameters<typeof OneNode.open>[0] = {}) {
  const node = await OneNode.open(options);
  const stop = new AbortController();
  const told: string[] = [];
  const last: { vm?: Vm } = {};
  node.agent.run();
  await node.inventory.untilListed(never);
  const synced = Promise.withResolvers<void>();
  const watching = (async () => {
    for await (const event of node.vms.watch(EVERYTHING, undefined, stop.signal)) {
      if (event.type === 'synced') synced.resolve();
      if (!('object' in event)) continue;
      last.vm = event.object;
      told.push(`${event.type} ${text(event.object)}`);
    }
  })().catch(() => undefined);
  await synced.promise;
  return {
    node,
    told,
    last,
    list: async () => (await node.vms.list(EVERYTHING, WHOLE, never)).items.map(text),
    until: (wanted: string) => until(wanted, async () => told.includes(wanted)),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await watching;
      await node[Symbol.asyncDispose]();
    },
  };
}

for (const asked of [creation, application]) {
  test(`a VM is told of from when its making is accepted (${asked.kind})`, async () => {
    await using watch = await watched();
    const { node, told, list } = watch;
    const goOn = node.hypervisor.block('define');
    await ask(node, asked);
    await watch.until('added web pending Creating');
    assert.deepEqual(await list(), ['web pending Creating']);
    const seen = await node.vms.get(refOf(request), never);
    assert.partialDeepStrictEqual(seen, { isRead: true, message: 'It is being made' });
    assert.deepEqual(seen.definition.spec, request.spec);
    assert.equal(seen.definition.uid, uidOf(request));
    const ready = seen.conditions.find(({ type }) => type === 'Ready');
    assert.partialDeepStrictEqual(ready, { status: 'false', reason: 'Creating' });
    // Nobody here counts it, nor does anything to it.
    assert.deepEqual(node.inventory.list(EVERYTHING), []);
    for (const kind of ['start', 'destroy', 'delete'] as const) {
      await assert.rejects(ask(node, { kind }), { reason: 'VM_BUSY' }, kind);
    }
    const other = { namespace: 'test', name: 'web', uid: randomUUID() };
    await assert.rejects(ask(node, { kind: 'start', vm: other }), { reason: 'VM_NOT_FOUND' });
    goOn();
    await watch.until('modified web running Booted');
    assert.deepEqual(await list(), ['web running Booted']);
    assert.equal(told.filter((each) => !each.startsWith('modified')).length, 1, told.join('\n'));
  });
}

for (const method of ['define', 'start'] as const) {
  test(`of one that could not be made the last that is told says why (${method})`, async () => {
    await using watch = await watched();
    const { node, told } = watch;
    const refusal = new AgentError('HYPERVISOR_REFUSED', 'Cannot create VM web: no such bus');
    node.hypervisor.fail(method, refusal);
    await done(node, creation);
    await watch.until('deleted web failed CreationFailed');
    assert.equal(watch.last.vm?.message, refusal.message);
    assert.equal(told[0], 'added web pending Creating');
    assert.equal(told.filter((each) => each.startsWith('deleted')).length, 1);
    assert.deepEqual(await watch.list(), []);
    await assert.rejects(node.vms.get(refOf(request), never), { reason: 'VM_NOT_FOUND' });
    // What becomes of the next one of that uid is its own story.
    await done(node, creation);
    await node.vms.delete(refOf(request), { force: true }, never);
    await until('it is gone', async () => (await watch.list()).length === 0);
    assert.doesNotMatch(told.at(-1) ?? '', /Creation/);
  });
}

test('one whose making is cancelled is told of as that', async () => {
  await using watch = await watched();
  const { node } = watch;
  const goOn = node.hypervisor.block('define');
  const operation = await ask(node, creation);
  await watch.until('added web pending Creating');
  const cancelling = node.agent.operations.cancel(operation.id, never);
  goOn();
  await cancelling;
  await endOf(node, operation);
  await watch.until('deleted web failed CreationCancelled');
});

test('the next agent tells of one that is still being made', async () => {
  const first = await OneNode.open();
  first.agent.run();
  await first.inventory.untilListed(never);
  const full = new AgentError('STORAGE_FULL', 'Cannot create VM web: the disk is full');
  first.hypervisor.fail('define', full, 1_000);
  await ask(first, { ...creation, id: randomUUID() });
  await using watch = await watched({ ...(await first.leave()) });
  assert.deepEqual(watch.told, ['added web pending Creating']);
  assert.deepEqual(await watch.list(), ['web pending Creating']);
});

test('a change of a VM that is there, and one of some fields, makes none', async () => {
  await using watch = await watched();
  const { node, told } = watch;
  await node.create(request);
  await watch.until('added web running Booted');
  const { metadata, spec } = request;
  const manifest = { metadata: { ...metadata, labels: { a: 'b' } }, spec };
  await done(node, { ...application, parameters: { ...application.parameters, manifest } });
  assert.doesNotMatch(told.join(), /pending/);
});
