import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import { until } from '../../../fixtures/until.ts';
import { apply, manifestOf } from '../vms/manifests.ts';
import { never, newRequest, OneNode, refOf, uidOf } from '../vms/one-node.ts';
import {
  assertStaysOff,
  ended,
  settle,
  stateOf,
  untilOff,
  untilRunning,
  withVm,
} from './controlled-node.ts';

for (const runStrategy of ['Always', 'RerunOnFailure', 'Once'] as const) {
  test(`a VM of strategy ${runStrategy} runs from when it is made until a caller stops it`, async () => {
    const { node, ref, uid, phase } = await withVm(runStrategy);
    await using _node = node;
    assert.equal(phase, 'running');
    assert.equal((await node.vms.shutdown(ref, never)).definition.intent, 'off');
    await assertStaysOff(node, uid);
    assert.equal((await node.vms.start(ref, never)).definition.intent, 'on');
    await node.vms.destroy(ref, never);
    await assertStaysOff(node, uid);
  });
}

test('a VM that a caller has stopped stays off when the agent starts again', async () => {
  await using before = await OneNode.open();
  const { hypervisor } = before;
  const request = newRequest('web', { runStrategy: 'Always' });
  await before.create(request);
  await before.vms.shutdown(refOf(request), never);
  await before[Symbol.asyncDispose]();
  await using node = await OneNode.open({ hypervisor });
  node.agent.run();
  await assertStaysOff(node, uidOf(request));
});

test('a VM of strategy Manual is off when it is made, and runs as callers say', async () => {
  const { node, ref, uid, phase } = await withVm('Manual');
  await using _node = node;
  assert.equal(phase, 'stopped');
  await assertStaysOff(node, uid);
  await node.vms.start(ref, never);
  await settle(node);
  assert.equal(await stateOf(node, uid), 'running');
});

test('a VM of strategy Halted is off, is not started and is shut down when it runs', async () => {
  const { node, ref, uid, phase } = await withVm('Halted');
  await using _node = node;
  assert.equal(phase, 'stopped');
  await assert.rejects(node.vms.start(ref, never), { reason: 'RUN_STRATEGY_HALTED' });
  await assertStaysOff(node, uid);
  // Somebody else has started it.
  await node.hypervisor.domains.start(uid, never);
  await untilOff(node, uid);
});

test('a guest that takes its time is asked once to power off, and again by the next agent', async () => {
  await using before = await OneNode.open();
  const { hypervisor } = before;
  const request = newRequest('web', { runStrategy: 'Once' });
  const uid = uidOf(request);
  const asked = () => hypervisor.calls.filter((call) => call === `shutdown ${uid}`).length;
  await before.create(request);
  hypervisor.slowShutdown = true;
  before.agent.run();
  await apply(before, manifestOf(request, { spec: { runStrategy: 'Halted' } }));
  await until('it is stopping', async () => {
    const { phase } = await before.vms.get(refOf(request), never);
    return phase === 'stopping';
  });
  await settle(before);
  assert.equal(asked(), 1);
  await before[Symbol.asyncDispose]();

  await using node = await OneNode.open({ hypervisor });
  node.agent.run();
  await until('it is asked again', () => asked() === 2);
});

test('a VM is started or shut down when it is given another strategy', async () => {
  const { node, request, uid } = await withVm('Halted');
  await using _node = node;
  await apply(node, manifestOf(request, { spec: { runStrategy: 'Always' } }));
  await untilRunning(node, uid);
  await apply(node, manifestOf(request, { spec: { runStrategy: undefined, running: false } }));
  await untilOff(node, uid);
  await apply(node, manifestOf(request, { spec: { runStrategy: undefined, running: true } }));
  await untilRunning(node, uid);
});

test('a VM that is here runs on and is started again while the node is cordoned', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  await node.agent.cordon.update({ cordon: true }, undefined);
  assert.equal(await stateOf(node, uid), 'running');
  node.hypervisor.stopGuest(uid, 'crashed');
  await untilRunning(node, uid);
});

test('a VM that cannot be started when it is given a strategy is changed, and the caller is told both', async () => {
  const { node, request } = await withVm('Halted');
  await using _node = node;
  node.hypervisor.fail('start', new AgentError('HYPERVISOR_FAILURE', 'no'));
  const changed = manifestOf(request, { spec: { runStrategy: 'Once' } });
  const { outcome, vm, warnings } = await apply(node, changed);
  assert.deepEqual(
    [outcome, vm.phase, vm.definition.spec.runStrategy],
    ['changed', 'stopped', 'Once'],
  );
  assert.match(warnings.join(), /was changed but not started: no; start it/);
});

test('a caller who changes a VM waits for a start that its strategy has asked for, and not for that of a caller', async () => {
  const { node, request, ref, uid } = await withVm('Always');
  await using _node = node;
  const change = (tier: string) =>
    apply(node, manifestOf(request, { metadata: { labels: { tier } } }));
  const untilStarting = () =>
    until('it is being started', () => node.locks.purposeOf(uid) === 'start');
  const letStart = node.hypervisor.block('start');
  node.hypervisor.stopGuest(uid, 'crashed');
  await untilStarting();
  const changing = change('db');
  letStart();
  assert.equal((await changing).vm.definition.labels['tier'], 'db');
  await untilRunning(node, uid);

  await node.vms.destroy(ref, never);
  const letStartAgain = node.hypervisor.block('start');
  const starting = node.vms.start(ref, never);
  await untilStarting();
  await assert.rejects(change('web'), { reason: 'VM_BUSY' });
  letStartAgain();
  assert.equal((await starting).phase, 'running');
});

test('a start that its strategy asked for comes to nothing once a caller has stopped the VM, and says so', async () => {
  const { node, ref, uid } = await withVm('Always');
  await using _node = node;
  await node.vms.destroy(ref, never);
  const asked = { id: undefined, kind: 'start', vm: { ...ref, uid }, parameters: {} } as const;
  const requestedBy = 'agent/run-strategies';
  const { operation } = await node.agent.operations.submit({ ...asked, requestedBy }, never);
  const { state, result } = await ended(node, operation);
  assert.deepEqual([state, result], ['succeeded', 'NOT_WANTED']);
  assert.equal((await node.vms.get(ref, never)).definition.intent, 'off');
  assert.equal(await stateOf(node, uid), 'stopped');
});

for (const runStrategy of ['Once', 'RerunOnFailure'] as const) {
  test(`a VM that is off is started when it is given the strategy ${runStrategy}`, async () => {
    const { node, request, ref } = await withVm('Halted');
    await using _node = node;
    const changed = manifestOf(request, { spec: { runStrategy } });
    const planned = await apply(node, changed, { dryRun: true });
    assert.equal(planned.vm.phase, 'stopped');
    const { vm } = await apply(node, changed);
    assert.deepEqual([vm.phase, vm.definition.intent], ['running', 'on']);
    // The same strategy again is no new wish.
    await node.vms.destroy(ref, never);
    const again = manifestOf(request, {
      metadata: { labels: { tier: 'db' } },
      spec: { runStrategy },
    });
    const { vm: after } = await apply(node, again);
    assert.equal(after.phase, 'stopped');
  });
}
