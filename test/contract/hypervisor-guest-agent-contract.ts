import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { memoryBytesOf, vcpusOf } from '../../src/core/resources/machine-amounts.ts';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import type { GuestFactGroup } from '../../src/drivers/hypervisor-guest-agent.ts';
import {
  assertAbortable,
  never,
  rejectsWith,
  started,
  type UseFixture,
  until,
} from './hypervisor-fixture.ts';

const GROUPS: readonly GuestFactGroup[] = ['os', 'hostname', 'timeZone', 'users', 'fileSystems'];
const NOTHING = new Uint8Array();

/** What a hypervisor must do with the agents of guests. */
export function testHypervisorGuestAgent(use: UseFixture): void {
  describe('guest agents', () => {
    let vm: VmDefinition;
    before(async () => {
      vm = await use().startGuest();
    });

    test('a listing says which VM has one that listens', async () => {
      const { domains } = use().source;
      const silent = await started(use());
      const listed = new Map((await domains.list(never)).map((one) => [one.uid, one]));
      assert.equal(listed.get(vm.uid)?.guestAgent, 'connected');
      assert.notEqual(listed.get(silent.uid)?.guestAgent, 'connected');
    });

    test('a guest says what it is', async () => {
      const facts = await use().source.guestAgent.readFacts(vm.uid, GROUPS, never);
      assert.deepEqual(Object.keys(facts).toSorted(), [...GROUPS].toSorted());
      for (const group of GROUPS) assert.equal(facts[group]?.problem, undefined, group);
      assert.notEqual(facts.os?.value?.id, '');
      assert.notEqual(facts.hostname?.value, '');
      assert.equal(facts.timeZone?.value?.offsetSeconds, 0);
    });

    test('a guest says what it uses of its CPUs and its memory', async () => {
      const { guestAgent } = use().source;
      const cpus = vcpusOf(vm.spec.template.spec);
      const online = await guestAgent.readOnline(vm.uid, { asksMemory: false }, never);
      assert.deepEqual(online, { cpus: { seen: cpus, online: cpus } });
      const { memory } = await guestAgent.readOnline(vm.uid, { asksMemory: true }, never);
      assert.equal(memory?.offlineBytes, 0);
      assert.ok(memory.onlineBytes >= memoryBytesOf(vm.spec.template.spec));
    });

    test('only what is asked for is answered', async () => {
      const { guestAgent } = use().source;
      assert.deepEqual(Object.keys(await guestAgent.readFacts(vm.uid, ['hostname'], never)), [
        'hostname',
      ]);
      const reports = await guestAgent.listAddresses(vm.uid, ['lease', 'arp'], never);
      assert.deepEqual(
        reports.map(({ source, value }) => [source, value]),
        [
          ['lease', []],
          ['arp', []],
        ],
      );
    });

    test('the guest names its interfaces', async () => {
      const { guestAgent } = use().source;
      const [report] = await guestAgent.listAddresses(vm.uid, ['agent'], never);
      assert.equal(report?.source, 'agent');
      assert.ok((report.value?.length ?? 0) > 0);
    });

    test('a guest without an agent has a problem for each group, and is refused all else', async () => {
      const { guestAgent } = use().source;
      const { uid } = await started(use());
      const facts = await guestAgent.readFacts(uid, ['os', 'hostname'], never);
      const reports = await guestAgent.listAddresses(uid, ['agent', 'lease'], never);
      assert.equal(facts.os?.problem?.reason, 'GUEST_AGENT_NOT_CONNECTED');
      assert.equal(facts.hostname?.problem?.reason, 'GUEST_AGENT_NOT_CONNECTED');
      assert.deepEqual(
        reports.map(({ problem }) => problem?.reason),
        ['GUEST_AGENT_NOT_CONNECTED', undefined],
      );
      await rejectsWith('GUEST_AGENT_NOT_CONNECTED', guestAgent.freeze(uid, never));
      await rejectsWith('GUEST_AGENT_NOT_CONNECTED', guestAgent.isFrozen(uid, never));
      await rejectsWith('GUEST_AGENT_NOT_CONNECTED', guestAgent.syncTime(uid, never));
      const command = { program: 'cat', args: [], stdin: NOTHING };
      await rejectsWith('GUEST_AGENT_NOT_CONNECTED', guestAgent.startCommand(uid, command, never));
    });

    test('a VM that is off, or not there, is told apart', async () => {
      const { source, newDefinition } = use();
      const off = newDefinition();
      await source.domains.define(off, never);
      await rejectsWith('VM_NOT_RUNNING', source.guestAgent.isFrozen(off.uid, never));
      await rejectsWith('VM_NOT_RUNNING', source.guestAgent.thaw(off.uid, never));
      await rejectsWith('VM_NOT_FOUND', source.guestAgent.thaw(newDefinition().uid, never));
    });

    test('a VM that is paused is not taken for one that is off', async () => {
      const { guestAgent, domains } = use().source;
      await domains.suspend(vm.uid, never);
      await rejectsWith('VM_PAUSED', guestAgent.thaw(vm.uid, never));
      await rejectsWith('VM_PAUSED', guestAgent.isFrozen(vm.uid, never));
      await rejectsWith('VM_PAUSED', guestAgent.readFacts(vm.uid, ['os'], never));
      await domains.resume(vm.uid, never);
      assert.equal(await guestAgent.isFrozen(vm.uid, never), false);
    });

    test('a program has its input, and its end tells what it wrote and its exit code', async () => {
      const { guestAgent } = use().source;
      const command = {
        program: 'sh',
        args: ['-c', 'cat; printf err >&2; exit 3'],
        stdin: Buffer.from('in\0put'),
      };
      const pid = await guestAgent.startCommand(vm.uid, command, never);
      const ended = Promise.withResolvers<void>();
      await until('it has ended', async () => {
        const end = await guestAgent.findCommandEnd(vm.uid, pid, never);
        if (end === undefined) return false;
        assert.deepEqual(
          [end.exitCode, end.signal, Buffer.from(end.stdout).toString(), String(end.stderr)],
          [3, undefined, 'in\0put', 'err'],
        );
        ended.resolve();
        return true;
      });
      await ended.promise;
      // Its end is told once.
      await rejectsWith('GUEST_AGENT_REFUSED', guestAgent.findCommandEnd(vm.uid, pid, never));
    });

    test('a program that goes on has no end', async () => {
      const { guestAgent } = use().source;
      const command = { program: 'sleep', args: ['1000'], stdin: NOTHING };
      const pid = await guestAgent.startCommand(vm.uid, command, never);
      assert.equal(await guestAgent.findCommandEnd(vm.uid, pid, never), undefined);
    });

    test('a program that is not there is refused', async () => {
      const { guestAgent } = use().source;
      const command = { program: '/no/such', args: [], stdin: NOTHING };
      await rejectsWith('GUEST_AGENT_REFUSED', guestAgent.startCommand(vm.uid, command, never));
    });

    test('a password, and the clock, are set', async () => {
      const { guestAgent } = use().source;
      const password = { user: 'root', password: 'secret', isCrypted: false };
      await guestAgent.setPassword(vm.uid, password, never);
      await guestAgent.syncTime(vm.uid, never);
    });

    test('what is frozen is thawed, and thawing once more is fine', async () => {
      const { guestAgent } = use().source;
      assert.equal(await guestAgent.isFrozen(vm.uid, never), false);
      await guestAgent.freeze(vm.uid, never);
      await guestAgent.thaw(vm.uid, never);
      assert.equal(await guestAgent.isFrozen(vm.uid, never), false);
      assert.equal(await guestAgent.thaw(vm.uid, never), 0);
    });

    test('who gives up is told so at once', async () => {
      const { guestAgent } = use().source;
      await assertAbortable((signal) => guestAgent.readFacts(vm.uid, GROUPS, signal));
      await assertAbortable((signal) => guestAgent.isFrozen(vm.uid, signal));
      // What was begun has not harmed it.
      assert.equal(await guestAgent.isFrozen(vm.uid, never), false);
    });
  });
}
