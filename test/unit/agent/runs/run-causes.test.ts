import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RUN_ENDS } from '../../../../src/agent/runs/run-ends.ts';
import { nextRecord, type RunRecord } from '../../../../src/agent/runs/run-record.ts';
import { toRunState } from '../../../../src/drivers/libvirt/domain-states.ts';
import { until } from '../../../fixtures/until.ts';
import { never, OneNode } from '../vms/one-node.ts';
import { ask, begin, reasonOf, untilWritten, withVm } from './controlled-node.ts';

type Node = Awaited<ReturnType<typeof withVm>>;

interface Story {
  readonly what: string;
  readonly reason: string;
  /** What the message names, so that people know where to look. */
  readonly says: RegExp;
  readonly happens: (vm: Node) => unknown;
  /** Default Once. */
  readonly strategy?: 'Manual';
}

const STORIES: readonly Story[] = [
  {
    what: 'its guest powers off',
    reason: 'GuestShutdown',
    says: /^Its guest powered off.*console log/,
    happens: ({ node, uid }) => node.hypervisor.stopGuest(uid),
  },
  {
    what: 'a caller has it shut down',
    reason: 'Shutdown',
    says: /^Its guest powered off as tester wanted it to \(20/,
    happens: ({ node, ref }) => ask(node, 'shutdown', ref),
  },
  {
    what: 'a caller has its power cut',
    reason: 'Destroyed',
    says: /^Its power was cut as tester wanted it/,
    happens: ({ node, ref }) => ask(node, 'destroy', ref),
  },
  {
    what: 'its node is shut down',
    reason: 'NodeShutdown',
    says: /^Its guest powered off as its node was shut down by tester \(20/,
    happens: ({ node }) => shutDownNode(node, 600_000),
  },
  {
    what: 'its node is shut down and its guest does not listen',
    reason: 'NodeShutdownPowerCut',
    says: /^Its power was cut as its node was shut down by tester, at the deadline/,
    happens({ node }) {
      node.hypervisor.slowShutdown = true;
      return shutDownNode(node, 1);
    },
  },
  {
    what: 'a caller has it shut down and its node is shut down too',
    reason: 'Shutdown',
    says: /^Its guest powered off as tester wanted it to \(20/,
    async happens({ node, ref, uid }) {
      node.hypervisor.slowShutdown = true;
      await begin(node, 'shutdown', ref);
      await until('it was asked', () => node.hypervisor.calls.includes(`shutdown ${uid}`));
      await shutDownNode(node, 600_000);
      node.hypervisor.stopGuest(uid);
    },
  },
  {
    what: 'somebody cuts its power with virsh',
    reason: 'DestroyedByOther',
    says: /virsh destroy/,
    happens: ({ node, uid }) => node.hypervisor.stopGuest(uid, 'destroyed'),
  },
  {
    what: 'its QEMU is told to end by a signal',
    reason: 'Terminated',
    says: /\/var\/log\/libvirt\/qemu\/test_web\.log .* signal/,
    happens: ({ node, uid }) => node.hypervisor.stopGuest(uid, 'terminated'),
  },
  {
    what: 'its QEMU dies',
    reason: 'Crashed',
    says: /read \/var\/log\/libvirt\/qemu\/test_web\.log/,
    happens: ({ node, uid }) => node.hypervisor.stopGuest(uid, 'crashed'),
  },
  {
    what: 'libvirt ends it at its restart',
    reason: 'DaemonRestarted',
    says: /libvirt's log/,
    happens: ({ node, uid }) => node.hypervisor.stopGuest(uid, 'daemon-restarted'),
  },
  {
    what: 'somebody saves it',
    reason: 'Saved',
    says: /start goes on from there/,
    happens: ({ node, uid }) => node.hypervisor.stopGuest(uid, 'saved'),
  },
  {
    what: 'somebody moves it',
    reason: 'Migrated',
    says: /another node/,
    happens: ({ node, uid }) => node.hypervisor.stopGuest(uid, 'migrated'),
  },
  {
    what: 'it was made and not started',
    reason: 'NeverStarted',
    says: /not been started/,
    happens: () => undefined,
    strategy: 'Manual',
  },
];

const shutDownNode = ({ agent }: OneNode, timeoutMs: number) =>
  agent.shutdown.shutDown({ timeoutMs, dryRun: false, requestedBy: 'tester' }, never);

for (const { what, reason, says, happens, strategy = 'Once' } of STORIES) {
  test(`when ${what}, its status says ${reason}, also after a restart of agent and libvirt`, async () => {
    const vm = await withVm(strategy);
    const { node: before, ref, uid } = vm;
    if (strategy !== 'Manual') await untilWritten(before, uid, 'on');
    await happens(vm);
    await until('it says why', async () => (await reasonOf(before, ref)) === reason);
    const { message } = await before.vms.get(ref, never);
    assert.match(message, says);
    await untilWritten(before, uid, 'off');
    const left = await before.leave();
    left.hypervisor.forgetWhyStopped();

    await using node = await OneNode.open(left);
    node.agent.run();
    const after = await node.vms.get(ref, never);
    assert.deepEqual([after.reason, after.message], [reason, message]);
  });
}

/** What happens while no agent runs, and what the next one says of it. */
const UNSEEN: readonly (Story & { readonly bootId?: string })[] = [
  {
    what: 'its guest powers off',
    reason: 'GuestShutdown',
    says: /console log/,
    happens: ({ node, uid }) => node.hypervisor.stopGuest(uid),
  },
  {
    what: 'its QEMU dies',
    reason: 'Crashed',
    says: /test_web\.log/,
    happens: ({ node, uid }) => node.hypervisor.stopGuest(uid, 'crashed'),
  },
  {
    what: 'its guest powers off and libvirt forgets that',
    reason: 'EndNotSeen',
    says: /neither this agent nor libvirt saw.*test_web\.log/,
    happens({ node, uid }) {
      node.hypervisor.stopGuest(uid);
      node.hypervisor.forgetWhyStopped();
    },
  },
  {
    what: 'the node reboots',
    reason: 'NodeRebooted',
    says: /journalctl -b -1/,
    happens: ({ node }) => node.hypervisor.reboot(),
    bootId: 'another boot',
  },
];

for (const { what, reason, says, happens, bootId = 'boot' } of UNSEEN) {
  test(`when ${what} while no agent runs, the next one says ${reason}, and goes on to`, async () => {
    const vm = await withVm('Once');
    const { node: before, ref, uid } = vm;
    await untilWritten(before, uid, 'on');
    const left = await before.leave();
    await happens(vm);

    const next = await OneNode.open({ ...left, bootId });
    next.agent.run();
    const seen = await next.vms.get(ref, never);
    assert.equal(seen.reason, reason);
    assert.match(seen.message, says);
    await untilWritten(next, uid, 'off');
    await next.leave();
    left.hypervisor.forgetWhyStopped();
    await using node = await OneNode.open({ ...left, bootId: 'yet another boot' });
    node.agent.run();
    assert.equal(await reasonOf(node, ref), reason);
  });
}

test('a shutdown that was asked for of an agent that was killed is still told from what the guest wanted', async () => {
  const { node: before, ref, uid } = await withVm('Once');
  before.hypervisor.slowShutdown = true;
  await begin(before, 'shutdown', ref);
  await until(
    'it is waited for',
    async () => (await before.vms.get(ref, never)).phase === 'stopping',
  );
  const left = await before.leave();
  left.hypervisor.stopGuest(uid);
  await using node = await OneNode.open(left);
  node.agent.run();
  const { reason, message } = await node.vms.get(ref, never);
  assert.equal(reason, 'Shutdown');
  assert.match(message, /tester/);
});

test('a start that fails is told as that, and not as the end before it', async () => {
  const { node, ref, uid } = await withVm('Manual');
  await using _node = node;
  assert.equal(await reasonOf(node, ref), 'NeverStarted');
  node.hypervisor.stopGuest(uid, 'failed');
  const { phase, reason } = await node.vms.get(ref, never);
  assert.deepEqual([phase, reason], ['stopped', 'StartFailed']);
});

test('every state of libvirt in which a VM is off has a cause of its own', () => {
  const on: RunRecord = { uid: 'u', bootId: 'boot', isOn: true, sinceMs: 1, end: undefined };
  const causes = new Map<string, string>();
  for (const [state, numbers] of [
    [5, 9],
    [6, 2],
  ] as const) {
    for (let number = 0; number < numbers; number += 1) {
      const seen = toRunState(state, number);
      const { end } = nextRecord(on, {
        vm: { uid: 'u', state: seen.state, stateReason: seen.reason },
        bootId: 'boot',
        nowMs: 2,
        isNew: false,
        isTerminated: false,
        nodeShutdownBy: undefined,
        requestBehind: () => undefined,
      });
      assert.ok(end);
      causes.set(`${seen.state} ${seen.reason}`, end.cause);
    }
  }
  const found = [...causes.values()];
  assert.equal(new Set(found).size, found.length - 1, 'of a crashed guest there are two reasons');
  for (const cause of found) assert.ok(Object.hasOwn(RUN_ENDS, cause), cause);
});
