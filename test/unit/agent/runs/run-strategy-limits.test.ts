import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import { FakeHypervisor, fakeMigration } from '../../../fakes/fake-hypervisor.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { writtenByNewer } from '../vms/manifests.ts';
import { never, newRequest, OneNode, uidOf } from '../vms/one-node.ts';
import {
  assertStaysOff,
  settle,
  startsOf,
  stateOf,
  untilOff,
  untilRunning,
  untilState,
  withVm,
} from './controlled-node.ts';

test('a start that fails is repeated, each time after twice as long', async () => {
  const firstDelayMs = 5;
  await using node = await OneNode.open({ firstRestartDelayMs: firstDelayMs });
  const { domains } = node.hypervisor;
  const request = newRequest('web', { runStrategy: 'Always' });
  const uid = uidOf(request);
  await node.create(request);
  const startedAtMs: number[] = [];
  const start = domains.start.bind(domains);
  domains.start = (...vm) => {
    startedAtMs.push(performance.now());
    return start(...vm);
  };
  node.hypervisor.fail('start', new AgentError('HYPERVISOR_FAILURE', 'no'), 4);
  node.hypervisor.stopGuest(uid, 'crashed');
  node.agent.run();
  await untilRunning(node, uid);
  assert.equal(startedAtMs.length, 5);
  for (const [index, atMs] of startedAtMs.slice(1).entries()) {
    const waitedMs = atMs - (startedAtMs[index] ?? 0);
    // A timer may be early by a part of a millisecond.
    assert.ok(waitedMs > firstDelayMs * 2 ** (index + 1) - 1, `${index}: ${waitedMs}`);
  }
});

test('a VM that crashes again before anybody has seen it run is started again', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  const { hypervisor } = node;
  const start = hypervisor.domains.start.bind(hypervisor.domains);
  let crashes = 3;
  hypervisor.domains.start = async (...vm) => {
    await start(...vm);
    if (crashes-- > 0) hypervisor.stopGuest(uid, 'crashed');
  };
  hypervisor.stopGuest(uid, 'crashed');
  await untilRunning(node, uid);
  assert.ok(crashes < 0);
});

test('a VM that is deleted while its start fails is given up', async () => {
  const { node, request, ref, uid } = await withVm('Always');
  await using _node = node;
  node.hypervisor.fail('start', new AgentError('HYPERVISOR_FAILURE', 'no'), 2);
  node.hypervisor.stopGuest(uid);
  await until('it was tried', () => startsOf(node, uid) >= 2);
  await until('it is free', async () => {
    try {
      await node.vms.delete(ref, { force: true }, never);
      return true;
    } catch {
      return false;
    }
  });
  await node.assertNothingOf(request);
});

test('a VM that starts and stops by itself while the hypervisor is away is seen to afterwards', async () => {
  const { node, ref, uid } = await withVm('Always');
  await using _node = node;
  node.hypervisor.disconnect();
  node.hypervisor.stopGuest(uid);
  await until('it is unknown', async () => (await node.vms.get(ref, never)).phase === 'unknown');
  assert.equal(startsOf(node, uid), 1);
  node.hypervisor.reconnect();
  await untilRunning(node, uid);
});

test('a copy of a VM that another node owns is never started', async () => {
  const { node, ref, uid } = await withVm('Always');
  await using _node = node;
  await node.ownership.release({ uid, namespace: ref.namespace, name: ref.name }, 2, 'b');
  await untilOff(node, uid);
  await assertStaysOff(node, uid);
  assert.equal((await node.vms.get(ref, never)).reason, 'StaleCopy');
});

test('a VM that something else is being done to is left alone until that has ended', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  {
    using _lock = node.locks.tryAcquire(uid, 'migration 7');
    node.hypervisor.stopGuest(uid);
    await assertStaysOff(node, uid);
  }
  await untilRunning(node, uid);
});

test('a VM that is arriving is left alone until it is here', async () => {
  await using node = await OneNode.open();
  await using source = new FakeHypervisor('source');
  FakeHypervisor.connect(source, node.hypervisor);
  source.manualProgress = true;
  const vm = tinyVm({}, newRequest('web').spec.template.spec);
  const { uid } = vm;
  const halted = { ...vm, spec: { ...vm.spec, runStrategy: 'Halted' as const } };
  await source.domains.define(halted, never);
  await source.domains.start(uid, never);
  node.agent.run();
  const migration = source.jobs.migrate(uid, fakeMigration(node.hypervisor, {}), never);
  await untilState(node, uid, 'incoming');
  await settle(node);
  assert.ok(!node.hypervisor.calls.includes(`shutdown ${uid}`));
  assert.equal(await stateOf(node, uid), 'incoming');
  await until('it is here', async () => {
    source.advance(uid);
    return (await stateOf(node, uid)) !== 'incoming';
  });
  await migration;
  await untilOff(node, uid);
});

test('a VM that is saved is not started', async () => {
  const { node, ref, uid } = await withVm('Always');
  await using _node = node;
  const list = node.hypervisor.domains.list.bind(node.hypervisor.domains);
  node.hypervisor.domains.list = async (signal) => {
    const listed = await list(signal);
    return listed.map((vm) => (vm.uid === uid ? { ...vm, stateReason: 'saved' } : vm));
  };
  node.hypervisor.stopGuest(uid);
  await assertStaysOff(node, uid);
  node.hypervisor.domains.list = list;
  await untilRunning(node, uid);
  assert.equal((await node.vms.get(ref, never)).phase, 'running');
});

test('a VM of a strategy that only a newer agent knows is left as callers want it', async () => {
  await using node = await OneNode.open();
  const definition = writtenByNewer(tinyVm({ intent: 'on' }, newRequest().spec.template.spec), {
    runStrategy: 'OnWeekdays',
  });
  const { uid, namespace, name } = definition;
  const ref = { namespace, name, uid };
  await node.hypervisor.domains.define(definition, never);
  node.agent.run();
  await node.inventory.untilListed(never);
  await assertStaysOff(node, uid);
  assert.equal((await node.vms.start(ref, never)).phase, 'running');
  await settle(node);
  assert.equal(await stateOf(node, uid), 'running');
  node.hypervisor.stopGuest(uid, 'crashed');
  await assertStaysOff(node, uid);
});
