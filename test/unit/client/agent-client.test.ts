import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentClient } from '../../../src/client/agent-client.ts';
import { ApplyOutcome } from '../../../src/client/api.ts';
import { AgentError } from '../../../src/core/errors.ts';
import { startAgent } from './served-agent.ts';

const never = new AbortController().signal;

test('a VM that was created can be got', async () => {
  await using lab = await startAgent();
  lab.agent.warnings = ['spec.template.spec.resources.cpu 1500m is rounded up to 2 virtual CPUs'];
  const resources = { cpu: '1500m', memory: '1Gi' };
  const vm = { metadata: { name: 'web' }, spec: { template: { spec: { resources } } } };
  const { warnings } = await lab.client.vms.create(vm, { signal: never });
  assert.deepEqual(warnings, lab.agent.warnings);
  const got = await lab.client.vms.get({ name: 'web' }, { signal: never });
  assert.equal(got.spec?.template?.spec?.resources?.cpu, '1500m');
});

test('an error of the agent arrives with its reason, metadata and violations', async () => {
  await using lab = await startAgent();
  lab.agent.failNext = new AgentError('IMAGE_NOT_FOUND', 'There is no image /a.img', {
    metadata: { path: '/a.img' },
    violations: [
      { field: 'spec.template.spec.volumes[0].source.file.path', description: 'does not exist' },
    ],
  });
  await assert.rejects(lab.client.vms.get({ name: 'web' }, { signal: never }), {
    name: 'AgentError',
    reason: 'IMAGE_NOT_FOUND',
    message: 'There is no image /a.img',
    metadata: { path: '/a.img' },
    violations: [
      { field: 'spec.template.spec.volumes[0].source.file.path', description: 'does not exist' },
    ],
  });
});

test('an agent that is not there is said to be unreachable, and why', async () => {
  using client = await AgentClient.open({ address: 'unix:/nowhere/agent.sock' });
  await assert.rejects(client.node.get({ signal: never }), {
    reason: 'AGENT_UNREACHABLE',
    message: 'Cannot reach the agent at unix:/nowhere/agent.sock: the socket does not exist',
    metadata: { address: 'unix:/nowhere/agent.sock' },
  });
});

test('a call that is not answered ends at its deadline', async () => {
  await using lab = await startAgent();
  lab.agent.hangs = true;
  await assert.rejects(lab.client.node.get({ signal: never, deadlineMs: 50 }), {
    reason: 'DEADLINE_EXCEEDED',
    metadata: { address: lab.address },
  });
});

test("an aborted call fails with its signal's reason", async () => {
  await using lab = await startAgent();
  lab.agent.hangs = true;
  const abort = new AbortController();
  const call = lab.client.node.get({ signal: abort.signal });
  const reason = new Error('enough');
  abort.abort(reason);
  await assert.rejects(call, (error) => error === reason);
});

test("an aborted stream fails with its signal's reason", async () => {
  await using lab = await startAgent();
  const abort = new AbortController();
  const reason = new Error('enough');
  await assert.rejects(
    async () => {
      for await (const _ of lab.client.node.watch({ cursor: undefined }, { signal: abort.signal }))
        abort.abort(reason);
    },
    (error) => error === reason,
  );
});

test('a VM is applied with its mask and the generation that it must have', async () => {
  await using lab = await startAgent();
  const vm = { metadata: { name: 'web' }, spec: { running: false } };
  const made = await lab.client.vms.apply(vm, { signal: never, generation: 0n });
  assert.equal(made.outcome, ApplyOutcome.APPLY_OUTCOME_CREATED);
  const updateMask = ['metadata.labels', 'spec.running'];
  await lab.client.vms.apply(vm, { signal: never, updateMask, dryRun: true });
  const [first, second] = lab.agent.applyRequests;
  assert.equal(first?.generation, 0n);
  assert.equal(first.updateMask, undefined);
  assert.equal(second?.generation, undefined);
  assert.deepEqual(second?.updateMask, updateMask);
  await assert.rejects(lab.client.vms.apply(vm, { signal: never, generation: 7n }), {
    reason: 'GENERATION_MISMATCH',
  });
});

test('all VMs are listed, whatever the size of a page', async () => {
  await using lab = await startAgent();
  for (let index = 0; index < 501; index++) lab.agent.put(`vm-${index}`);
  lab.agent.put('other', { metadata: { namespace: 'shop', labels: { app: 'web' } } });
  const names: string[] = [];
  for await (const vm of lab.client.vms.listAll({ namespace: 'default' }, { signal: never })) {
    names.push(vm.metadata?.name ?? '');
  }
  assert.equal(new Set(names).size, 501);
  assert.equal(names.length, 501);
  const page = await lab.client.vms.list({ pageSize: 2 }, { signal: never });
  assert.equal(page.virtualMachines.length, 2);
  assert.notEqual(page.nextPageToken, '');
  const chosen = await lab.client.vms.list({ labelSelector: 'app in (web,db)' }, { signal: never });
  assert.deepEqual(
    chosen.virtualMachines.map(({ metadata }) => metadata?.name),
    ['other'],
  );
});

test('a node is cordoned, field by field', async () => {
  await using lab = await startAgent();
  const { node } = lab.client;
  await node.update({ cordon: true, cordonReason: 'new memory' }, { signal: never });
  const { node: changed } = await node.update({ cordonReason: 'new disks' }, { signal: never });
  assert.deepEqual(changed?.spec, { cordon: true, cordonReason: 'new disks' });
  await assert.rejects(node.update({ cordon: false }, { signal: never, generation: 1n }), {
    reason: 'GENERATION_MISMATCH',
  });
});

test('what was reserved is listed until it is released', async () => {
  await using lab = await startAgent();
  const { node } = lab.client;
  const machine = { resources: { cpu: '2', memory: '1Gi' } };
  await node.reserve({ id: 'r-1', virtualMachine: { name: 'web' }, machine }, { signal: never });
  const [reserved] = await node.listReservations({ signal: never });
  assert.deepEqual(reserved?.amounts, { cpu: '2', memory: '1Gi' });
  await node.reserve({ id: 'r-2', virtualMachine: { name: 'db' }, machine }, { signal: never });
  const both = await node.listReservations({ signal: never });
  assert.deepEqual(
    both.map(({ id }) => id),
    ['r-1', 'r-2'],
  );
  await node.release('r-2', { signal: never });
  await node.release('r-1', { signal: never });
  assert.deepEqual(await node.listReservations({ signal: never }), []);
});
