import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import { until } from '../../../fixtures/until.ts';
import { never, type PeerMethod, TwoNodes } from './two-nodes.ts';

for (const method of ['prepare', 'get', 'release'] as const satisfies readonly PeerMethod[]) {
  for (const loss of ['lostCalls', 'lostAnswers'] as const) {
    test(`a migration comes to a known end with ${method} having ${loss} for a while`, async () => {
      using nodes = await TwoNodes.open();
      const { wire } = nodes.source;
      wire[loss].add(method);
      await nodes.start();
      // The messages get through again at the latest when the migration has noticed.
      await until('it tried', () => {
        const { life } = nodes.source.agent;
        return (
          life.steps.filter((step) => step === `after peer.${method} failed`).length >= 2 ||
          nodes.source.record(nodes.id)?.endedAtMs !== undefined
        );
      });
      wire[loss].clear();
      const { phase } = await nodes.ended();
      assert.equal(phase, method === 'prepare' ? 'failed' : 'completed');
      await nodes.assertRunsOn(method === 'prepare' ? nodes.source : nodes.destination);
    });
  }
}

test('a copy that fails leaves the VM running here, and says why', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.hypervisor.fail('migrate', new AgentError('MIGRATION_FAILED', 'CPU is too old'));
  await nodes.start();
  const record = await nodes.ended();
  assert.deepEqual(
    [record.phase, record.reason, record.message],
    ['failed', 'MIGRATION_FAILED', 'CPU is too old'],
  );
  await nodes.assertRunsOn(nodes.source);
});

test('a transfer that breaks is the reason that is given, not what the hypervisor saw of it', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  nodes.source.transfers.fail(nodes.id, 'no lane for 60 s');
  const { phase, reason, message } = await nodes.ended();
  assert.deepEqual([phase, reason], ['failed', 'STREAM_FAILED']);
  assert.match(message, /node b broke: no lane for 60 s; the VM stays/);
  await nodes.assertRunsOn(nodes.source);
});

test('a VM that was never stopped for the switchover is given back although the destination is silent', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.hypervisor.fail('migrate', new AgentError('MIGRATION_FAILED', 'no route'));
  nodes.source.wire.onCall = (method) => {
    if (method === 'get') throw new AgentError('PEER_UNREACHABLE', 'gone');
  };
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'failed');
});

test('a VM that arrives while the hypervisor here cannot be asked has migrated', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { hypervisor } = nodes.source;
  hypervisor.disconnect();
  hypervisor.manualProgress = false;
  hypervisor.advance(nodes.vm.uid);
  await until('the VM has arrived', async () => {
    return (await nodes.destination.find(nodes.vm.uid))?.state === 'running';
  });
  hypervisor.reconnect();
  assert.equal((await nodes.ended()).phase, 'completed');
  await nodes.assertRunsOn(nodes.destination);
});

for (const switchoverEnd of ['reply-lost', 'reply-lost-held'] as const) {
  test(`of two copies only the destination's stays (${switchoverEnd})`, async () => {
    using nodes = await TwoNodes.open();
    nodes.source.hypervisor.switchoverEnd = switchoverEnd;
    await nodes.start();
    assert.equal((await nodes.ended()).phase, 'completed');
    await nodes.assertRunsOn(nodes.destination);
  });
}

test('a copy that holds pages of a guest that runs over there is kept, through restarts of both agents, until they are there', async () => {
  using nodes = await TwoNodes.open();
  const { source, destination, vm, id } = nodes;
  source.hypervisor.switchoverEnd = 'pages-left';
  await nodes.start();
  const waits = () =>
    until('it waits for the rest', async () => {
      return /rest of its memory/.test((await source.agent.migrations.get(id)).message);
    });
  await waits();
  // The link is gone for good, and so is what the agents knew.
  source.transfers.fail(id, 'no lane for 60 s');
  for (const node of [destination, source]) {
    node.agent.life.kill();
    await until('the agent is back', () => !node.agent.life.killed);
  }
  await waits();
  const { steps } = destination.agent.life;
  const looked = steps.length;
  await until('the destination has looked again', () => steps.length > looked + 8);
  for (const { hypervisor } of [source, destination]) {
    const cut = hypervisor.calls.filter((call) => /^(destroy|undefine|resume)/.test(call));
    assert.deepEqual(cut, []);
    const copy = await hypervisor.domains.find(vm.uid, never);
    assert.equal(copy?.stateReason, 'postcopy-failed');
  }
  source.hypervisor.sendLastPages(vm.uid);
  assert.equal((await nodes.ended()).phase, 'completed');
  await nodes.assertRunsOn(destination);
});

test('a VM that is held by a switchover that did not happen runs on here', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.hypervisor.switchoverEnd = 'held';
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'failed');
  await nodes.assertRunsOn(nodes.source);
});

test('a VM whose job ends while it is looked at is not taken for what it was before', async () => {
  using nodes = await TwoNodes.open();
  const { source, vm } = nodes;
  source.hypervisor.switchoverEnd = 'held';
  await nodes.copying();
  source.restarts = false;
  source.agent.life.kill();
  // The new agent is between its two questions when the guest is stopped and the link breaks.
  const answerJobs = source.hypervisor.block('getJob');
  const { calls } = source.hypervisor;
  const earlier = calls.length;
  await source.boot();
  await until('it has asked', () => calls.slice(earlier).includes(`getJob ${vm.uid}`));
  source.hypervisor.manualProgress = false;
  source.hypervisor.advance(vm.uid);
  await until('the guest is stopped', async () => (await source.find(vm.uid))?.state === 'paused');
  answerJobs();
  assert.equal((await nodes.ended()).phase, 'failed');
  await nodes.assertRunsOn(source);
});

test('a VM that could not be let run at the destination runs on here', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.hypervisor.switchoverEnd = 'stillborn';
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'failed');
  await nodes.assertRunsOn(nodes.source);
});

for (const switchoverEnd of ['reply-lost', 'held'] as const) {
  test(`a destination that falls silent in the switchover is waited for, and the wait is told (${switchoverEnd})`, async () => {
    using nodes = await TwoNodes.open();
    const { source, id } = nodes;
    source.hypervisor.switchoverEnd = switchoverEnd;
    const goOn = await nodes.switchingOver();
    source.wire.unreachable = true;
    goOn();
    await until('it says what it waits for', async () => {
      return /Waiting for node b/.test((await source.agent.migrations.get(id)).message);
    });
    assert.equal(source.record(id)?.endedAtMs, undefined);
    assert.notEqual(source.agent.locks.purposeOf(nodes.vm.uid), undefined);
    source.wire.unreachable = false;
    await nodes.ended();
    await nodes.assertRunsOn(switchoverEnd === 'held' ? source : nodes.destination);
  });
}

test('a guest that was stopped for the switchover is not given back on a silent word, though its event was lost', async () => {
  using nodes = await TwoNodes.open();
  const { source, id } = nodes;
  source.hypervisor.losesEvents = true;
  source.hypervisor.switchoverEnd = 'reply-lost';
  source.wire.lostCalls.add('get').add('release');
  await nodes.start();
  await until('it waits', async () => {
    return /Waiting for node b/.test((await source.agent.migrations.get(id)).message);
  });
  source.wire.lostCalls.clear();
  assert.equal((await nodes.ended()).phase, 'completed');
  await nodes.assertRunsOn(nodes.destination);
});

test('a guest that was stopped for the switchover is not given back on a silent word, though the journal was full', async () => {
  using nodes = await TwoNodes.open({}, { volumes: [] });
  const { source, id } = nodes;
  const { migrationStore } = source;
  const update = migrationStore.update.bind(migrationStore);
  migrationStore.update = async (record) => {
    if (record.phase === 'switching-over') throw new AgentError('STORAGE_FULL', 'full');
    return await update(record);
  };
  source.hypervisor.switchoverEnd = 'reply-lost-held';
  source.wire.lostCalls.add('get').add('release');
  await nodes.start();
  await until('it waits', async () => {
    return /Waiting for node b/.test((await source.agent.migrations.get(id)).message);
  });
  // Somebody lets it go on by hand, which no lock of a disk stops, so that nothing tells any more that it was stopped.
  await source.hypervisor.domains.resume(nodes.vm.uid, never);
  const { steps } = source.agent.life;
  const asked = steps.length;
  await until('it has asked again', () => {
    return steps.slice(asked).filter((step) => step === 'after peer.get failed').length > 2;
  });
  source.wire.lostCalls.clear();
  assert.equal((await nodes.ended()).phase, 'completed');
  await nodes.assertRunsOn(nodes.destination);
});

test('an agent that comes back does not wait for a silent destination for a guest that was never stopped', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { source, id, vm } = nodes;
  source.restarts = false;
  source.agent.life.kill();
  await source.hypervisor.jobs.abortJob(vm.uid, never);
  source.wire.unreachable = true;
  await source.boot();
  await until('it ends', async () => (await source.agent.migrations.get(id)).phase === 'failed');
  source.wire.unreachable = false;
  await nodes.assertRunsOn(source);
});

test('a VM that vanishes from both nodes is lost', async () => {
  using nodes = await TwoNodes.open();
  await nodes.copying();
  const { source, destination, vm } = nodes;
  await source.hypervisor.domains.destroy(vm.uid, never);
  await source.hypervisor.domains.undefine(vm.uid, never);
  source.hypervisor.advance(vm.uid);
  const record = await nodes.ended();
  assert.deepEqual([record.phase, record.reason], ['failed', 'VM_NOT_FOUND']);
  await until(
    'nothing is left',
    async () => (await destination.transfers.list(never)).length === 0,
  );
  assert.equal(destination.record(nodes.id)?.phase, 'failed');
  assert.equal(await destination.find(vm.uid), undefined);
});

for (const [how, words] of [
  ['shutdown', /^It was shut down while it moved; it is off, on node a\..*vm start test\/web$/],
  ['destroyed', /^Its power was cut while it moved; it is off/],
  ['crashed', /^Its QEMU ended unexpectedly while it moved; it is off/],
] as const) {
  test(`a guest that goes off while it is copied (${how}) stays here, off, and both nodes say so`, async () => {
    using nodes = await TwoNodes.open();
    await nodes.copying();
    nodes.source.hypervisor.stopGuest(nodes.vm.uid, how);
    nodes.source.hypervisor.advance(nodes.vm.uid);
    const { phase, reason, message } = await nodes.ended();
    assert.deepEqual([phase, reason], ['failed', 'VM_NOT_RUNNING']);
    assert.match(message, words);
    await nodes.assertSound();
    assert.equal((await nodes.source.find(nodes.vm.uid))?.state, 'stopped');
    const there = nodes.destination.record(nodes.id);
    assert.deepEqual([there?.reason, there?.message], [reason, message]);
  });
}

test('what the hypervisor will not begin it has refused, and what breaks on the way has failed', async () => {
  const refusal = new AgentError('HYPERVISOR_REFUSED', 'unsupported configuration: no');
  using nodes = await TwoNodes.open();
  nodes.source.hypervisor.fail('migrate', refusal);
  await nodes.start();
  const { reason, message } = await nodes.ended();
  assert.deepEqual([reason, message], [refusal.reason, refusal.message]);
  await nodes.assertRunsOn(nodes.source);

  using later = await TwoNodes.open();
  later.source.hypervisor.switchoverEnd = 'held';
  await later.start();
  assert.equal((await later.ended()).reason, 'MIGRATION_FAILED');
  await later.assertRunsOn(later.source);
});

for (const phase of ['copying', 'switching-over', 'cleaning-up', 'completed', 'failed'] as const) {
  test(`a journal that is full at ${phase} delays the end and changes nothing about it`, async () => {
    using nodes = await TwoNodes.open();
    const { source } = nodes;
    if (phase === 'failed') source.hypervisor.switchoverEnd = 'held';
    const { migrationStore } = source;
    const update = migrationStore.update.bind(migrationStore);
    let refusals = 3;
    migrationStore.update = async (record) => {
      if (record.phase === phase && refusals-- > 0) {
        throw new AgentError('STORAGE_FULL', 'The disk is full');
      }
      return await update(record);
    };
    await nodes.start();
    const record = await nodes.ended();
    const stays = phase === 'copying' || phase === 'failed';
    assert.equal(record.phase, stays ? 'failed' : 'completed');
    await nodes.assertRunsOn(stays ? source : nodes.destination);
  });
}

test('a migration that cannot be recorded is not begun', async () => {
  using nodes = await TwoNodes.open();
  nodes.source.migrationStore.insert = async () => {
    throw new AgentError('STORAGE_FULL', 'The disk is full');
  };
  await assert.rejects(nodes.start(), { reason: 'STORAGE_FULL' });
  await nodes.assertRunsOn(nodes.source);
});

test('an older copy at the destination is no ground to remove the one here', async () => {
  using nodes = await TwoNodes.open({ ownershipEpoch: 5 });
  const { source, destination, vm } = nodes;
  source.hypervisor.fail('migrate', new AgentError('MIGRATION_FAILED', 'no'));
  source.wire.onCall = async (method) => {
    // The destination has lost its journal, and somebody has defined an old copy there.
    if (method !== 'get' || destination.record(nodes.id) === undefined) return;
    destination.agent.book.find = async () => undefined;
    await destination.hypervisor.domains.define({ ...vm, ownershipEpoch: 2 }, never);
  };
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'failed');
  assert.equal((await source.find(vm.uid))?.state, 'running');
});
