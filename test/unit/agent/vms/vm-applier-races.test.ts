import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apply, manifestOf } from './manifests.ts';
import { never, newRequest, OneNode, refOf, uidOf } from './one-node.ts';

const TWO_CPUS = { resources: { cpu: '2', memory: '64Mi' } };
const DB = { labels: { tier: 'db' } };

async function withVm(request = newRequest()) {
  const node = await OneNode.open();
  await node.create(request);
  return { node, request, ref: refOf(request), uid: uidOf(request) };
}

/** Does something while the next manifest is being applied: it has been compared, nothing is changed yet. */
function meanwhile(node: OneNode, act: () => Promise<unknown>): void {
  const { validator } = node.agent;
  const validate = validator.validate.bind(validator);
  validator.validate = async (...wanted) => {
    validator.validate = validate;
    await act();
    return validate(...wanted);
  };
}

test('a VM that something else is being done to is busy', async () => {
  const { node, request, ref, uid } = await withVm();
  await using _node = node;
  const changed = manifestOf(request, { machine: TWO_CPUS });
  {
    using _lock = node.locks.tryAcquire(uid, 'migration 7');
    await assert.rejects(apply(node, changed), { reason: 'VM_BUSY', message: /migration 7/ });
    // Whoever only looks or asks for what is so already need not wait.
    assert.equal((await apply(node, changed, { dryRun: true })).outcome, 'changed');
    assert.equal((await apply(node, request)).outcome, 'unchanged');
  }
  assert.equal((await node.vms.get(ref, never)).definition.generation, 1);
  assert.equal((await apply(node, changed)).outcome, 'changed');
  assert.equal(node.locks.purposeOf(uid), undefined);
});

test('a failed change leaves the VM as it was, and free', async () => {
  const { node, request, ref, uid } = await withVm();
  await using _node = node;
  node.hypervisor.fail('define', new Error('no'));
  await assert.rejects(apply(node, manifestOf(request, { machine: TWO_CPUS })), { message: 'no' });
  const { definition } = await node.vms.get(ref, never);
  assert.deepEqual([definition.generation, definition.spec], [1, request.spec]);
  node.assertFree(uid);
});

for (const [verb, intent] of [
  ['destroy', 'off'],
  ['shutdown', 'off'],
  ['start', 'on'],
] as const) {
  test(`a ${verb} that comes between the comparison and the change is not undone`, async () => {
    const runStrategy = verb === 'start' ? 'Manual' : 'Always';
    const { node, request, ref } = await withVm(newRequest('web', { runStrategy }));
    await using _node = node;
    meanwhile(node, () => node.vms[verb](ref, never));
    const { outcome, vm } = await apply(node, manifestOf(request, { metadata: DB }));
    assert.equal(outcome, 'changed');
    assert.equal(vm.definition.intent, intent);
    assert.deepEqual([vm.definition.generation, vm.definition.labels], [2, DB.labels]);
  });
}

test('a VM that is deleted between the comparison and the change is not made anew', async () => {
  const { node, request, ref } = await withVm();
  await using _node = node;
  meanwhile(node, () => node.vms.delete(ref, { force: true }, never));
  await assert.rejects(apply(node, manifestOf(request, { machine: TWO_CPUS })), {
    reason: 'GENERATION_MISMATCH',
    message: /gone/,
  });
  await node.assertNothingOf(request);
});

test('of two changes side by side one is told of the other', async () => {
  const { node, request, ref } = await withVm();
  await using _node = node;
  const results = await Promise.allSettled([
    apply(node, manifestOf(request, { machine: TWO_CPUS })),
    apply(node, manifestOf(request, { metadata: DB })),
  ]);
  const [won] = results.filter((result) => result.status === 'fulfilled');
  const [lost] = results.filter((result) => result.status === 'rejected');
  assert.ok(won && lost, 'one wins and one loses');
  assert.ok(['VM_BUSY', 'GENERATION_MISMATCH'].includes(lost.reason.reason), lost.reason);
  const { definition } = await node.vms.get(ref, never);
  assert.equal(definition.generation, 2);
  assert.deepEqual(definition, won.value.vm.definition);
});

test('a change that was compared with what has been changed since is refused', async () => {
  const { node, request, ref } = await withVm();
  await using _node = node;
  meanwhile(node, () => apply(node, manifestOf(request, { metadata: DB })));
  await assert.rejects(apply(node, manifestOf(request, { machine: TWO_CPUS })), {
    reason: 'GENERATION_MISMATCH',
    message: /has generation 2, not 1/,
  });
  const { definition } = await node.vms.get(ref, never);
  assert.deepEqual([definition.labels, definition.spec], [DB.labels, request.spec]);
});

test('of two manifests of one new VM side by side one makes it', async () => {
  await using node = await OneNode.open();
  const one = manifestOf(newRequest(), { metadata: { uid: undefined } });
  const results = await Promise.allSettled([apply(node, one), apply(node, one)]);
  const outcomes = results.map((result) =>
    result.status === 'fulfilled' ? result.value.outcome : result.reason.reason,
  );
  assert.deepEqual(new Set(outcomes), new Set(['VM_BUSY', 'created']));
});

test('a change that a listing does not know yet is not made again, nor taken for none', async () => {
  const { node, request, uid } = await withVm();
  await using _node = node;
  const { domains } = node.hypervisor;
  const listed = await domains.list(never);
  // A VM that is busy is listed as it was known.
  domains.list = () => Promise.resolve(listed);
  const changed = manifestOf(request, { machine: TWO_CPUS });
  assert.equal((await apply(node, changed)).outcome, 'changed');
  assert.equal((await apply(node, changed)).outcome, 'unchanged');
  assert.equal((await domains.find(uid, never))?.definition?.generation, 2);
});
