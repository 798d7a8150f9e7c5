import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AgentError, hasReason, type Reason } from '../../../../src/core/errors.ts';
import { until } from '../../../fixtures/until.ts';
import { never, newRequest, uidOf } from '../vms/one-node.ts';
import { GuestNode } from './guest-node.ts';

const RUN = {
  program: 'id',
  args: [],
  stdin: new Uint8Array(),
  timeoutMs: 10_000,
  captureBytes: 1_024,
};

async function failsWith(reason: Reason, work: Promise<unknown>, message = /./): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(hasReason(error, reason), String(error));
    assert.match(error.message, message);
    return true;
  });
}

test('a guest says what it is, with its addresses by all sources', async () => {
  await using on = await GuestNode.start();
  const { vm, isConnected, facts, addresses, freeze } = await on.guests.get(on.ref, never);
  assert.deepEqual(vm, { namespace: 'test', name: 'web', uid: on.uid });
  assert.equal(isConnected, true);
  assert.equal(facts.hostname.value, 'fake-guest');
  assert.deepEqual(
    addresses.map(({ source, value }) => [source, value?.length]),
    [
      ['agent', 1],
      ['lease', 0],
      ['arp', 0],
    ],
  );
  assert.equal(freeze, undefined);
});

test('of a guest whose agent has gone each fact says so, and only the host is asked for addresses', async () => {
  await using on = await GuestNode.start();
  on.hypervisor.connectGuestAgent(on.uid, false);
  on.hypervisor.forgetCalls();
  const { isConnected, facts, addresses } = await on.guests.get(on.ref, never);
  assert.equal(isConnected, false);
  for (const fact of Object.values(facts)) {
    assert.equal(fact.problem?.reason, 'GUEST_AGENT_NOT_CONNECTED');
    assert.match(fact.problem.message, /install the package qemu-guest-agent/);
  }
  assert.deepEqual(
    addresses.map(({ source, problem }) => [source, problem?.reason]),
    [
      ['agent', 'GUEST_AGENT_NOT_CONNECTED'],
      ['lease', undefined],
      ['arp', undefined],
    ],
  );
  assert.ok(!on.hypervisor.calls.some((call) => call.startsWith('readFacts')));
  await failsWith('GUEST_AGENT_NOT_CONNECTED', on.guests.run(on.ref, RUN, never));
  await failsWith('GUEST_AGENT_NOT_CONNECTED', on.guests.syncTime(on.ref, never));
});

test('a guest that does not answer is not asked for its addresses as well', async () => {
  await using on = await GuestNode.start();
  const silent = { value: undefined, problem: { reason: 'GUEST_AGENT_TIMEOUT', message: 'no' } };
  on.hypervisor.guestAgent.readFacts = async () => ({ os: silent }) as never;
  const asked: (readonly string[])[] = [];
  const { guestAgent } = on.hypervisor;
  const list = guestAgent.listAddresses.bind(guestAgent);
  guestAgent.listAddresses = (uid, sources, signal) => {
    asked.push(sources);
    return list(uid, sources, signal);
  };
  const { addresses } = await on.guests.get(on.ref, never);
  assert.deepEqual(asked, [['lease', 'arp']]);
  assert.equal(addresses[0]?.problem?.reason, 'GUEST_AGENT_TIMEOUT');
});

test('a VM that is off, paused, unknown or without a channel is refused for what it is', async () => {
  await using on = await GuestNode.start();
  const { vms } = on.node;
  await failsWith('VM_NOT_FOUND', on.guests.get({ ...on.ref, name: 'db' }, never));
  const uid = '00000000-0000-4000-8000-000000000000';
  await failsWith('VM_UID_MISMATCH', on.guests.get({ ...on.ref, uid }, never));
  await vms.suspend(on.ref, never);
  await failsWith('VM_PAUSED', on.guests.get(on.ref, never), /vm resume/);
  await failsWith('VM_PAUSED', on.guests.run(on.ref, RUN, never));
  await vms.resume(on.ref, never);
  await vms.destroy(on.ref, never);
  await failsWith('VM_NOT_RUNNING', on.guests.get(on.ref, never), /it is off/);
  await failsWith('VM_NOT_RUNNING', on.guests.thaw(on.ref, { isForced: true }, never));
});

test('while the hypervisor is away nothing of a guest is known, and that is what is said', async () => {
  await using on = await GuestNode.start();
  on.hypervisor.disconnect();
  await failsWith(
    'HYPERVISOR_UNREACHABLE',
    on.guests.get(on.ref, never),
    /^Cannot read what the guest says of VM test\/web: /,
  );
});

test('the condition follows the guest agent, and a VM without a channel has none', async () => {
  await using on = await GuestNode.start();
  const find = () => {
    const vm = on.node.inventory.findByUid(on.uid);
    return vm?.conditions.find(({ type }) => type === 'GuestAgentConnected');
  };
  const plain = newRequest('plain');
  await on.node.create(plain);
  await until('the condition is True', () => find()?.status === 'true');
  const without = on.node.inventory.findByUid(uidOf(plain))?.conditions.map(({ type }) => type);
  assert.ok(without !== undefined && !without.includes('GuestAgentConnected'));
  on.hypervisor.connectGuestAgent(on.uid, false);
  await until('the condition is False', () => find()?.status === 'false');
  assert.equal(find()?.reason, 'NotConnected');
  assert.match(find()?.message ?? '', /install the package qemu-guest-agent/);
  await on.node.vms.destroy(on.ref, never);
  await until('the condition says that it is off', () => find()?.reason === 'NotRunning');
});

test('a password is given to the guest, and to nobody else', async () => {
  await using on = await GuestNode.start();
  const password = { user: 'root', password: 'correct horse', isCrypted: false };
  await on.guests.setPassword(on.ref, password, never);
  assert.equal(on.guest.passwords.get('root'), 'correct horse');
  assert.ok(!on.node.journalText().includes('correct horse'));
});

test('what fails in the guest fails with its reason', async () => {
  await using on = await GuestNode.start();
  on.hypervisor.fail('setPassword', new AgentError('GUEST_AGENT_REFUSED', 'No such user'));
  const password = { user: 'nobody', password: 'x', isCrypted: false };
  await failsWith('GUEST_AGENT_REFUSED', on.guests.setPassword(on.ref, password, never));
});

test('the clock of a guest is set on demand, and by itself after a resume', async () => {
  await using on = await GuestNode.start();
  await on.guests.syncTime(on.ref, never);
  assert.equal(on.guest.clockSets, 1);
  await on.node.vms.suspend(on.ref, never);
  await on.node.vms.resume(on.ref, never);
  await until('its clock is set', () => on.guest.clockSets === 2);
});

test('a guest that is frozen when it goes on has its clock set once it is thawed', async () => {
  await using on = await GuestNode.start();
  on.hypervisor.fail('syncTime', new AgentError('GUEST_AGENT_REFUSED', 'It is frozen'));
  await on.node.vms.suspend(on.ref, never);
  await on.node.vms.resume(on.ref, never);
  await until('its clock is set', () => on.guest.clockSets === 1);
});

test('a resume is done whether or not the clock can be set', async () => {
  await using on = await GuestNode.start();
  on.hypervisor.fail('syncTime', new AgentError('GUEST_AGENT_TIMEOUT', 'It is silent'));
  await on.node.vms.suspend(on.ref, never);
  const vm = await on.node.vms.resume(on.ref, never);
  assert.equal(vm.phase, 'running');
  await until('its clock is to be set', () =>
    on.hypervisor.calls.some((call) => call.startsWith('syncTime')),
  );
  assert.equal(on.guest.clockSets, 0);
});

test('the condition says so of one that has opened its channel and does not answer, until it does', async () => {
  await using on = await GuestNode.start();
  const find = () =>
    on.node.inventory
      .findByUid(on.uid)
      ?.conditions.find(({ type }) => type === 'GuestAgentConnected');
  await until('the condition is True', () => find()?.status === 'true');
  const silent = new AgentError('GUEST_AGENT_TIMEOUT', 'Cannot set it: it is silent');
  on.hypervisor.fail('syncTime', silent);
  await failsWith('GUEST_AGENT_TIMEOUT', on.guests.syncTime(on.ref, never));
  await until('the condition is False', () => find()?.reason === 'NotResponding');
  assert.match(find()?.message ?? '', /when it was asked last: it is silent$/);
  await on.guests.syncTime(on.ref, never);
  await until('the condition is True again', () => find()?.status === 'true');
  // One that begins anew may do better.
  on.hypervisor.fail('syncTime', silent);
  await failsWith('GUEST_AGENT_TIMEOUT', on.guests.syncTime(on.ref, never));
  on.hypervisor.connectGuestAgent(on.uid, false);
  on.hypervisor.connectGuestAgent(on.uid, true);
  await until('the condition is True once more', () => find()?.status === 'true');
});

test('a guest that only refuses is well', async () => {
  await using on = await GuestNode.start();
  on.hypervisor.fail('syncTime', new AgentError('GUEST_AGENT_REFUSED', 'No'));
  await failsWith('GUEST_AGENT_REFUSED', on.guests.syncTime(on.ref, never));
  const vm = await on.node.vms.get(on.ref, never);
  const condition = vm.conditions.find(({ type }) => type === 'GuestAgentConnected');
  assert.equal(condition?.status, 'true');
});
