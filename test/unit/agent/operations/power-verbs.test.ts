import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { OperationKind } from '../../../../src/agent/operations/operation.ts';
import { AgentError, hasReason, type Reason } from '../../../../src/core/errors.ts';
import type { VmStateReason } from '../../../../src/drivers/hypervisor-domains.ts';
import { until } from '../../../fixtures/until.ts';
import {
  ask,
  assertStaysOff,
  begin,
  ended,
  reasonOf,
  runOf,
  settle,
  startsOf,
  stateOf,
  untilOff,
  untilRunning,
  withVm,
} from '../runs/controlled-node.ts';
import { never, OneNode } from '../vms/one-node.ts';

const FORCE = { force: true };

async function refused(reason: Reason, work: Promise<unknown>, words: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(hasReason(error, reason), String(error));
    assert.match(error.message, words);
    return true;
  });
}

describe('suspend and resume', () => {
  test('a suspended VM stays so, whatever its strategy and whichever agent looks, until it is resumed', async () => {
    const { node: before, ref, uid } = await withVm('Always');
    assert.equal((await ask(before, 'suspend', ref)).state, 'succeeded');
    assert.equal(await reasonOf(before, ref), 'Suspended');
    await settle(before);
    await using node = await OneNode.open(await before.leave());
    node.agent.run();
    await settle(node);
    assert.equal(await stateOf(node, uid), 'paused');
    assert.equal((await node.vms.get(ref, never)).definition.intent, 'on');
    assert.equal((await ask(node, 'suspend', ref)).state, 'succeeded');
    assert.equal((await ask(node, 'resume', ref)).state, 'succeeded');
    assert.equal((await ask(node, 'resume', ref)).state, 'succeeded');
    assert.equal(await reasonOf(node, ref), 'Unpaused');
  });

  for (const reason of ['user', 'unknown', 'io-error', 'watchdog', 'guest-asleep'] as const) {
    test(`a VM that is paused (${reason}) goes on when it is resumed`, async () => {
      const { node, ref, uid } = await withVm('Once');
      await using _node = node;
      node.hypervisor.setState(uid, 'paused', reason);
      assert.equal((await ask(node, 'resume', ref)).state, 'succeeded');
      assert.equal(await stateOf(node, uid), 'running');
    });
  }

  test('one whose disk is still full has not been resumed, and is once there is room', async () => {
    const { node, ref, uid } = await withVm('Once');
    await using _node = node;
    node.hypervisor.setState(uid, 'paused', 'io-error');
    node.hypervisor.stopsAgain = true;
    const { state, error } = await ask(node, 'resume', ref);
    assert.deepEqual([state, error?.reason], ['failed', 'VM_PAUSED']);
    assert.match(error?.message ?? '', /stopped again at once.*make room.*novactl vm resume/);
    node.hypervisor.stopsAgain = false;
    assert.equal((await ask(node, 'resume', ref)).state, 'succeeded');
    assert.equal(await stateOf(node, uid), 'running');
  });

  const HELD: readonly VmStateReason[] = [
    'migration',
    'saving',
    'dumping',
    'snapshotting',
    'starting-up',
    'postcopy',
    'postcopy-failed',
  ];
  for (const reason of HELD) {
    test(`a VM that is held still (${reason}) is not let go on`, async () => {
      const { node, ref, uid } = await withVm('Once');
      await using _node = node;
      node.hypervisor.setState(uid, 'paused', reason);
      for (const kind of ['resume', 'reset', 'suspend'] as const) {
        await refused('VM_BUSY', begin(node, kind, ref), /Cannot \w+ VM web now/);
      }
      // Begun anew here, it could run twice.
      await refused('VM_BUSY', begin(node, 'restart', ref, FORCE), /Cannot restart VM web now/);
      assert.equal(await stateOf(node, uid), 'paused');
    });
  }

  test('a copy of which another node is the owner is neither resumed nor reset', async () => {
    const { node, ref, uid } = await withVm('Once');
    await using _node = node;
    node.hypervisor.setState(uid, 'paused', 'user');
    await node.hypervisor.domains.setFacts(
      uid,
      { owner: '11111111-2222-4333-8444-555555555555', ownershipEpoch: 9 },
      never,
    );
    for (const kind of ['resume', 'reset', 'reboot', 'restart'] as const) {
      await assert.rejects(begin(node, kind, ref), (error) => error instanceof AgentError);
    }
    assert.equal(await stateOf(node, uid), 'paused');
  });
});

describe('a VM that is paused', () => {
  for (const kind of ['start', 'shutdown', 'reboot', 'restart'] as const) {
    test(`does not answer to ${kind}, which names the way on and leaves it as it was`, async () => {
      const { node, ref, uid } = await withVm('Once');
      await using _node = node;
      await ask(node, 'suspend', ref);
      await refused(
        'VM_PAUSED',
        begin(node, kind, ref),
        /paused \(Suspended\).*novactl vm resume test\/web/,
      );
      assert.equal(await stateOf(node, uid), 'paused');
      assert.equal((await node.vms.get(ref, never)).definition.intent, 'on');
    });
  }

  test('stays paused when it is reset, which says so', async () => {
    const { node, ref, uid } = await withVm('Once');
    await using _node = node;
    await ask(node, 'suspend', ref);
    const { state, warnings } = await ask(node, 'reset', ref);
    assert.equal(state, 'succeeded');
    assert.match(warnings.join(), /still paused.*novactl vm resume test\/web/);
    assert.equal(await stateOf(node, uid), 'paused');
  });

  test('is restarted by force', async () => {
    const { node, ref, uid } = await withVm('Once');
    await using _node = node;
    await ask(node, 'suspend', ref);
    const { result } = await ask(node, 'restart', ref, FORCE);
    assert.equal(result, 'RESTARTED');
    assert.equal(await stateOf(node, uid), 'running');
    assert.ok(!node.hypervisor.calls.includes(`shutdown ${uid}`));
  });

  test('can be destroyed, and then be started', async () => {
    const { node, ref, uid } = await withVm('Once');
    await using _node = node;
    await ask(node, 'suspend', ref);
    await ask(node, 'destroy', ref);
    await ask(node, 'start', ref);
    assert.equal(await stateOf(node, uid), 'running');
  });
});

test('a VM that is off can be restarted, which says what it came to, and nothing else', async () => {
  const { node, ref, uid } = await withVm('Manual');
  await using _node = node;
  for (const kind of ['suspend', 'resume', 'reset', 'reboot'] as const) {
    await refused('VM_NOT_RUNNING', begin(node, kind, ref), /it is off/);
  }
  const { state, result } = await ask(node, 'restart', ref);
  assert.deepEqual([state, result], ['succeeded', 'STARTED']);
  assert.equal(await stateOf(node, uid), 'running');
});

describe('restart', () => {
  test('waits for the guest, then starts, also where the agent is another one in between', async () => {
    const { node: before, ref, uid } = await withVm('Manual');
    await ask(before, 'start', ref);
    before.hypervisor.slowShutdown = true;
    const operation = await begin(before, 'restart', ref);
    const { hypervisor } = before;
    await until('it is asked', () => hypervisor.calls.includes(`shutdown ${uid}`));
    const phase = async () => (await before.vms.get(ref, never)).phase;
    await until('it is stopping', async () => (await phase()) === 'stopping');
    const left = await before.leave();
    hypervisor.stopGuest(uid);
    await using node = await OneNode.open(left);
    node.agent.run();
    const { state, result } = await ended(node, operation);
    assert.deepEqual([state, result], ['succeeded', 'RESTARTED']);
    assert.equal(await stateOf(node, uid), 'running');
    assert.equal((await node.vms.get(ref, never)).definition.intent, 'on');
  });

  test('tells who has had the VM go off', async () => {
    const { node, ref, uid } = await withVm('Once');
    await using _node = node;
    node.hypervisor.fail('start', new AgentError('IMAGE_NOT_FOUND', 'There is no image'));
    const { state, error } = await ask(node, 'restart', ref);
    assert.deepEqual([state, error?.reason], ['failed', 'IMAGE_NOT_FOUND']);
    const { reason, message } = await node.vms.get(ref, never);
    assert.equal(reason, 'Shutdown');
    assert.match(message, /tester/);
    assert.equal(runOf(node, uid)?.['end_by'] ?? 'tester', 'tester');
  });

  test('of a guest that does not listen fails, and starts it again should it power off after all', async () => {
    const { node, ref, uid } = await withVm('Manual');
    await using _node = node;
    await ask(node, 'start', ref);
    node.hypervisor.slowShutdown = true;
    const { error } = await ask(node, 'restart', ref, { timeoutMs: 1 });
    assert.equal(error?.reason, 'GUEST_DID_NOT_STOP');
    assert.match(error?.message ?? '', /--force/);
    assert.equal(await reasonOf(node, ref), 'Booted');
    node.hypervisor.forgetCalls();
    node.hypervisor.stopGuest(uid);
    await until('it is started', () => startsOf(node, uid) === 1);
    await untilRunning(node, uid);
  });

  test('by force cuts the power of a guest that does not listen, and starts it', async () => {
    const { node, ref, uid } = await withVm('Once');
    await using _node = node;
    node.hypervisor.slowShutdown = true;
    const { state, result } = await ask(node, 'restart', ref, { timeoutMs: 1, force: true });
    assert.deepEqual([state, result], ['succeeded', 'RESTARTED']);
    assert.ok(node.hypervisor.calls.includes(`destroy ${uid}`));
    assert.equal(await stateOf(node, uid), 'running');
  });

  test('gives way to a destroy, and is not taken up again', async () => {
    const { node, ref, uid } = await withVm('Once');
    await using _node = node;
    node.hypervisor.slowShutdown = true;
    const restart = await begin(node, 'restart', ref);
    await until('it is asked', () => node.hypervisor.calls.includes(`shutdown ${uid}`));
    await ask(node, 'destroy', ref);
    assert.equal((await ended(node, restart)).state, 'superseded');
    await assertStaysOff(node, uid);
  });

  test('that is cancelled leaves the VM on, and none that is off', async () => {
    const { node, ref, uid } = await withVm('Once');
    await using _node = node;
    node.hypervisor.slowShutdown = true;
    const restart = await begin(node, 'restart', ref);
    await until('it is asked', () => node.hypervisor.calls.includes(`shutdown ${uid}`));
    await node.agent.operations.cancel(restart.id, never);
    assert.equal((await ended(node, restart)).state, 'cancelled');
    assert.equal(await stateOf(node, uid), 'running');
    assert.equal(await reasonOf(node, ref), 'Booted');
  });
});

describe('reboot and reset', () => {
  test('are no end of a run', async () => {
    const { node, ref, uid } = await withVm('RerunOnFailure');
    await using _node = node;
    const before = (await node.vms.get(ref, never)).run;
    const { state, result } = await ask(node, 'reboot', ref);
    assert.deepEqual([state, result], ['succeeded', 'REBOOTED']);
    assert.equal((await ask(node, 'reset', ref)).state, 'succeeded');
    node.hypervisor.rebootGuest(uid);
    await settle(node);
    assert.deepEqual((await node.vms.get(ref, never)).run, before);
  });

  test('a guest that does not reboot is told of, and the ways on are', async () => {
    const { node, ref } = await withVm('Once');
    await using _node = node;
    node.hypervisor.slowShutdown = true;
    const { error } = await ask(node, 'reboot', ref, { timeoutMs: 1 });
    assert.equal(error?.reason, 'GUEST_DID_NOT_STOP');
    assert.match(
      error?.message ?? '',
      /reboot.*novactl vm log test\/web.*novactl vm reset test\/web/,
    );
    assert.equal((await ask(node, 'reset', ref)).state, 'succeeded');
  });

  test('a guest that reboots late is waited for, and one that powers off instead has not rebooted', async () => {
    const { node, ref, uid } = await withVm('Once');
    await using _node = node;
    node.hypervisor.slowShutdown = true;
    const first = await begin(node, 'reboot', ref);
    const asked = () => node.hypervisor.calls.filter((call) => call === `reboot ${uid}`).length;
    await until('it is asked', () => asked() === 1);
    node.hypervisor.rebootGuest(uid);
    assert.equal((await ended(node, first)).result, 'REBOOTED');
    const second = await begin(node, 'reboot', ref);
    await until('it is asked again', () => asked() === 2);
    node.hypervisor.stopGuest(uid);
    assert.equal((await ended(node, second)).error?.reason, 'VM_NOT_RUNNING');
  });

  test('a guest is not asked twice by two agents, and that nobody saw the end is said', async () => {
    const { node: before, ref, uid } = await withVm('Once');
    before.hypervisor.slowShutdown = true;
    const operation = await begin(before, 'reboot', ref);
    await until('it waits', async () => {
      return (await before.agent.operations.get(operation.id)).step === 'waiting-for-guest';
    });
    await using node = await OneNode.open(await before.leave());
    node.agent.run();
    const { state, result, warnings } = await ended(node, operation);
    assert.deepEqual([state, result], ['succeeded', 'ASKED']);
    assert.match(warnings.join(), /nobody saw/);
    const asked = node.hypervisor.calls.filter((call) => call === `reboot ${uid}`);
    assert.equal(asked.length, 1);
  });

  test('a reset takes a shutdown back that the guest does not listen to', async () => {
    const { node, ref, uid } = await withVm('Manual');
    await using _node = node;
    await ask(node, 'start', ref);
    node.hypervisor.slowShutdown = true;
    const shutdown = await begin(node, 'shutdown', ref);
    await until('it is asked', () => node.hypervisor.calls.includes(`shutdown ${uid}`));
    await ask(node, 'reset', ref);
    assert.equal((await ended(node, shutdown)).state, 'superseded');
    const { phase, definition } = await node.vms.get(ref, never);
    assert.deepEqual([phase, definition.intent], ['running', 'on']);
  });
});

test('a guest that is waited for is not suspended, and a paused one that is can be resumed', async () => {
  const { node, ref, uid } = await withVm('Once');
  await using _node = node;
  node.hypervisor.slowShutdown = true;
  const shutdown = await begin(node, 'shutdown', ref);
  await until('it is asked', () => node.hypervisor.calls.includes(`shutdown ${uid}`));
  await refused('VM_BUSY', begin(node, 'suspend', ref), /operation cancel/);
  node.hypervisor.setState(uid, 'paused', 'user');
  assert.equal((await ask(node, 'resume', ref)).state, 'succeeded');
  node.hypervisor.stopGuest(uid);
  assert.equal((await ended(node, shutdown)).state, 'succeeded');
  await untilOff(node, uid);
});

test('all of them wait for a libvirt that is away, and say so', async () => {
  const { node, ref, uid } = await withVm('Once');
  await using _node = node;
  for (const kind of [
    'suspend',
    'resume',
    'reset',
    'reboot',
    'restart',
  ] satisfies OperationKind[]) {
    node.hypervisor.disconnect();
    await refused('HYPERVISOR_UNREACHABLE', begin(node, kind, ref), /./);
    node.hypervisor.reconnect();
    assert.equal((await ask(node, kind, ref)).state, 'succeeded', kind);
  }
  assert.equal(await stateOf(node, uid), 'running');
});
