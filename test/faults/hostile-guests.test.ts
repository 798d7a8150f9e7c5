import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { AgentMode } from '../../lab/guest/agent-guest.ts';
import { hasReason, type Reason } from '../../src/core/errors.ts';
import type { GuestFactGroup } from '../../src/drivers/hypervisor-guest-agent.ts';
import type { LibvirtHypervisor } from '../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { agentKernel, bootGuest } from '../drivers/libvirt/agent-vm.ts';
import { openHypervisor } from '../drivers/libvirt/libvirt-pair.ts';
import { PrivateLibvirt, skipReason, waitFor } from '../drivers/libvirt/private-libvirt.ts';
import { tinyVm } from '../fixtures/tiny-vm.ts';

/* What guests do to whoever asks them, when their agents hang, lie or flood. */

const never = new AbortController().signal;
const GROUPS: readonly GuestFactGroup[] = ['os', 'hostname', 'timeZone', 'users', 'fileSystems'];
const HOSTILE = ['silent', 'mute', 'liar', 'flood', 'garbage'] as const satisfies AgentMode[];
type Hostile = (typeof HOSTILE)[number];

/** libvirt waits 5 s for a guest agent to be there, and is told to wait 5 s for an answer; the rest is for a busy machine. */
const ONE_QUESTION_MS = 10_000 + 5_000;

describe('hostile guests', { skip: skipReason() }, () => {
  let node: PrivateLibvirt;
  let hypervisor: LibvirtHypervisor;
  const uids = new Map<Hostile, string>();
  const uidOf = (mode: Hostile): string => uids.get(mode) ?? '';
  const owned = new AsyncDisposableStack();

  before(async () => {
    node = owned.use(await PrivateLibvirt.start());
    hypervisor = owned.use(await openHypervisor(node));
    await Promise.all(
      HOSTILE.map(async (mode) => {
        const kernel = await agentKernel(mode);
        const vm = tinyVm({}, { resources: { cpu: '1', memory: '128Mi' }, kernel });
        uids.set(mode, vm.uid);
        await bootGuest(hypervisor, vm);
      }),
    );
  });
  after(() => owned.disposeAsync());

  for (const mode of ['silent', 'mute'] as const) {
    test(`one that is ${mode} is given up in time, and not asked the next question`, async () => {
      const { guestAgent } = hypervisor;
      const { ms, result } = await timed(guestAgent.readFacts(uidOf(mode), GROUPS, never));
      assert.ok(ms < ONE_QUESTION_MS, `${ms} ms`);
      for (const group of GROUPS) {
        assert.equal(result[group]?.problem?.reason, 'GUEST_AGENT_TIMEOUT', group);
        assert.equal(result[group]?.value, undefined);
      }
    });
  }

  test('guests that hang slow down nobody, and can be switched off at once', async () => {
    const { guestAgent, domains } = hypervisor;
    const asking = ['silent', 'mute'].flatMap((mode) =>
      Array.from({ length: 5 }, () => guestAgent.isFrozen(uidOf(mode as Hostile), never)),
    );
    const outcomes = Promise.allSettled(asking);
    const other = tinyVm();
    const work = async () => {
      await domains.define(other, never);
      await domains.start(other.uid, never);
      await domains.find(uidOf('silent'), never);
      await domains.list(never);
      await domains.destroy(other.uid, never);
      await domains.undefine(other.uid, never);
    };
    const { ms } = await timed(work());
    assert.ok(ms < 5_000, `${ms} ms`);
    const destroying = await timed(domains.destroy(uidOf('silent'), never));
    assert.ok(destroying.ms < 4_000, `${destroying.ms} ms`);
    await domains.destroy(uidOf('mute'), never);
    for (const outcome of await outcomes) {
      assert.equal(outcome.status, 'rejected');
      const isExplained = hasReason(
        outcome.reason,
        'GUEST_AGENT_TIMEOUT',
        'VM_NOT_RUNNING',
        'GUEST_AGENT_NOT_CONNECTED',
      );
      assert.ok(isExplained, String(outcome.reason));
    }
    for (const mode of ['silent', 'mute'] as const) {
      const uid = uidOf(mode);
      await domains.start(uid, never);
      await waitFor(
        'it is back',
        async () => (await domains.find(uid, never))?.guestAgent === 'connected',
      );
    }
  });

  test('callers that give up, again and again, leave no threads behind', async () => {
    const { guestAgent } = hypervisor;
    const uid = uidOf('silent');
    for (let round = 0; round < 100; round += 1) {
      const caller = new AbortController();
      const asked = guestAgent.isFrozen(uid, caller.signal);
      setImmediate(() => caller.abort(new Error('enough')));
      await assert.rejects(asked, /enough/);
    }
    // One question may still be under way; no line has formed behind it.
    await failsWith('GUEST_AGENT_TIMEOUT', guestAgent.isFrozen(uid, never));
    const { threads, stuckThreads, openConnections } = await hypervisor.diagnose(never);
    assert.ok(threads <= 8, `${threads} threads`);
    assert.equal(stuckThreads, 0);
    assert.ok(openConnections <= 8, `${openConnections} connections`);
  });

  test('more callers than can have an answer in time are sent away', async () => {
    const { guestAgent } = hypervisor;
    const callers = new AbortController();
    const asking = Array.from({ length: 40 }, () =>
      guestAgent.isFrozen(uidOf('mute'), callers.signal),
    );
    const outcomes = Promise.allSettled(asking);
    const { result, ms } = await timed(Promise.race(asking).catch((error: unknown) => error));
    assert.ok(hasReason(result, 'VM_BUSY'), String(result));
    assert.ok(ms < 1_000, `${ms} ms`);
    callers.abort(new Error('enough'));
    const refused = (await outcomes).filter(
      (outcome) => outcome.status === 'rejected' && hasReason(outcome.reason, 'VM_BUSY'),
    );
    assert.ok(refused.length >= 20, `${refused.length} were refused`);
  });

  test('one that lies has what it says bounded, cleaned, or left out', async () => {
    const { guestAgent } = hypervisor;
    const uid = uidOf('liar');
    const { os, hostname, timeZone, users, fileSystems } = await guestAgent.readFacts(
      uid,
      GROUPS,
      never,
    );
    assert.equal(os?.value?.id, '');
    assert.equal(os.value.name, '\uFFFD]0;owned\uFFFD');
    assert.equal(os.value.prettyName.length, 257);
    assert.equal(hostname?.value, '\uFFFD\uFFFD[2Jroot\uFFFD# ');
    assert.equal(timeZone?.problem?.reason, 'GUEST_ANSWER_INVALID');
    assert.equal(users?.value?.[0]?.name, '\uFFFD]0;owned\uFFFD');
    assert.equal(fileSystems?.problem?.reason, 'GUEST_ANSWER_INVALID');
    const [report] = await guestAgent.listAddresses(uid, ['agent'], never);
    assert.deepEqual(report?.value, [
      {
        name: 'eth\uFFFD[31m0',
        macAddress: '',
        addresses: [{ address: '10.9.9.9', prefixLength: 8 }],
      },
    ]);
    const command = { program: 'id', args: [], stdin: new Uint8Array() };
    await failsWith('GUEST_ANSWER_INVALID', guestAgent.startCommand(uid, command, never));
    await failsWith('GUEST_ANSWER_INVALID', guestAgent.findCommandEnd(uid, 1, never));
    await failsWith('GUEST_ANSWER_INVALID', guestAgent.isFrozen(uid, never));
    const password = { user: 'root', password: 'secret', isCrypted: false };
    await assert.rejects(guestAgent.setPassword(uid, password, never), (error) => {
      assert.ok(hasReason(error, 'GUEST_AGENT_REFUSED'));
      assert.match(error.message, /the guest agent says: \uFFFD\[31myou have been owned/);
      assert.doesNotMatch(error.message, /secret|\p{Cc}/u);
      return true;
    });
  });

  for (const mode of ['flood', 'garbage'] as const) {
    test(`one that answers with ${mode} is not listened to any longer, and said so`, async () => {
      const { guestAgent } = hypervisor;
      const uid = uidOf(mode);
      const { ms, result } = await timed(guestAgent.readFacts(uid, GROUPS, never));
      assert.ok(ms < ONE_QUESTION_MS, `${ms} ms`);
      const { os, ...others } = result;
      assert.equal(os?.problem?.reason, 'GUEST_ANSWER_INVALID');
      for (const fact of Object.values(others)) {
        assert.equal(fact.problem?.reason, 'GUEST_AGENT_NOT_CONNECTED');
        assert.match(fact.problem.message, /listens .* no longer.*restart qemu-guest-agent/);
      }
      await failsWith('GUEST_AGENT_NOT_CONNECTED', guestAgent.freeze(uid, never));
      // The VM itself is as well as before.
      assert.equal((await hypervisor.domains.find(uid, never))?.state, 'running');
    });
  }
});

async function timed<T>(work: Promise<T>): Promise<{ readonly ms: number; readonly result: T }> {
  const beganMs = performance.now();
  const result = await work;
  return { ms: performance.now() - beganMs, result };
}

async function failsWith(reason: Reason, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(hasReason(error, reason), `${reason} was expected, not ${String(error)}`);
    assert.doesNotMatch(error.message, /\p{Cc}/u);
    return true;
  });
}
