import { test } from 'node:test';
import type { RunStrategy } from '../../../../src/core/resources/virtual-machine.ts';
import type { FakeHypervisor } from '../../../fakes/fake-hypervisor.ts';
import { never, newRequest, OneNode, refOf, uidOf } from '../vms/one-node.ts';
import { ask, assertStaysOff, untilRunning, untilWritten, withVm } from './controlled-node.ts';

type Strategy = Exclude<RunStrategy, 'Halted'>;

/** What comes of a VM that has run, by strategy: the letters of those that are started again. */
interface Row {
  readonly what: string;
  /** A is Always, R is RerunOnFailure; Once and Manual never are. */
  readonly starts: '' | 'A' | 'AR';
  /** What happens to it, while an agent looks on or not. */
  readonly happens: (hypervisor: FakeHypervisor, uid: string) => void;
  /** The node has booted since. */
  readonly reboots?: true;
}

const WITH_AGENT: readonly Row[] = [
  { what: 'its guest powers off', starts: 'A', happens: stop('shutdown') },
  { what: 'its QEMU dies', starts: 'AR', happens: stop('crashed') },
  { what: 'its QEMU is told to end by a signal', starts: 'AR', happens: stop('terminated') },
  { what: 'libvirt ends it at its restart', starts: 'AR', happens: stop('daemon-restarted') },
  { what: 'somebody cuts its power with virsh', starts: 'A', happens: stop('destroyed') },
  { what: 'somebody puts it back to a snapshot', starts: 'A', happens: stop('from-snapshot') },
  { what: 'somebody saves it with virsh', starts: '', happens: stop('saved') },
  { what: 'somebody moves it with virsh', starts: '', happens: stop('migrated') },
];

const WITHOUT_AGENT: readonly Row[] = [
  ...WITH_AGENT.filter(({ what }) => !what.includes('signal')),
  {
    // Of a signal only an event tells.
    what: 'its QEMU is told to end by a signal',
    starts: 'A',
    happens: stop('terminated'),
  },
  {
    what: 'its guest powers off and libvirt is restarted',
    starts: 'AR',
    happens(hypervisor, uid) {
      hypervisor.stopGuest(uid, 'shutdown');
      hypervisor.forgetWhyStopped();
    },
  },
  {
    what: 'the node reboots',
    starts: 'AR',
    happens: (hypervisor) => hypervisor.reboot(),
    reboots: true,
  },
];

function stop(how: Parameters<FakeHypervisor['stopGuest']>[1]): Row['happens'] {
  return (hypervisor, uid) => hypervisor.stopGuest(uid, how);
}

const STRATEGIES: readonly Strategy[] = ['Always', 'RerunOnFailure', 'Once', 'Manual'];

function isStarted({ starts }: Row, strategy: Strategy): boolean {
  return strategy === 'Always' ? starts !== '' : strategy === 'RerunOnFailure' && starts === 'AR';
}

async function assertOutcome(node: OneNode, uid: string, startsAgain: boolean): Promise<void> {
  if (startsAgain) await untilRunning(node, uid);
  else await assertStaysOff(node, uid);
}

for (const strategy of STRATEGIES) {
  for (const row of WITH_AGENT) {
    const outcome = isStarted(row, strategy) ? 'is started again' : 'stays off';
    test(`when ${row.what}, a VM of strategy ${strategy} ${outcome}`, async () => {
      const { node, ref, uid } = await withVm(strategy);
      await using _node = node;
      if (strategy === 'Manual') await ask(node, 'start', ref);
      row.happens(node.hypervisor, uid);
      await assertOutcome(node, uid, isStarted(row, strategy));
    });
  }

  for (const row of WITHOUT_AGENT) {
    const outcome = isStarted(row, strategy) ? 'is started again' : 'stays off';
    test(`when ${row.what} while no agent runs, a VM of strategy ${strategy} ${outcome}`, async () => {
      const { node: before, ref, uid } = await withVm(strategy);
      if (strategy === 'Manual') await ask(before, 'start', ref);
      await untilWritten(before, uid, 'on');
      const left = await before.leave();
      row.happens(left.hypervisor, uid);

      const bootId = row.reboots === true ? 'another boot' : 'boot';
      await using node = await OneNode.open({ ...left, bootId });
      node.agent.run();
      await assertOutcome(node, uid, isStarted(row, strategy));
    });
  }

  for (const verb of ['shutdown', 'destroy'] as const) {
    test(`a VM of strategy ${strategy} stays off after our ${verb}, whatever is restarted, until it is started`, async () => {
      const { node: before, ref, uid } = await withVm(strategy);
      if (strategy === 'Manual') await ask(before, 'start', ref);
      await ask(before, verb, ref);
      await assertStaysOff(before, uid);
      await untilWritten(before, uid, 'off');
      const left = await before.leave();
      left.hypervisor.forgetWhyStopped();

      const next = await OneNode.open(left);
      next.agent.run();
      await assertStaysOff(next, uid);
      const leftAgain = await next.leave();
      left.hypervisor.reboot();

      await using node = await OneNode.open({ ...leftAgain, bootId: 'another boot' });
      node.agent.run();
      await assertStaysOff(node, uid);
      await ask(node, 'start', ref);
      await untilRunning(node, uid);
    });
  }
}

test('a VM of strategy RerunOnFailure that its guest has powered off stays off over a reboot', async () => {
  const { node: before, uid } = await withVm('RerunOnFailure');
  before.hypervisor.stopGuest(uid);
  await untilWritten(before, uid, 'off');
  const left = await before.leave();
  left.hypervisor.reboot();
  await using node = await OneNode.open({ ...left, bootId: 'another boot' });
  node.agent.run();
  await assertStaysOff(node, uid);
});

test('a VM of which nothing was ever written is started by Always alone', async () => {
  for (const strategy of ['Always', 'RerunOnFailure'] as const) {
    await using before = await OneNode.open();
    const request = newRequest('web', { runStrategy: strategy });
    await before.create(request);
    const { hypervisor } = await before.leave();
    hypervisor.stopGuest(uidOf(request));
    hypervisor.forgetWhyStopped();
    // As after an upgrade, or without the journal that there was.
    await using node = await OneNode.open({ hypervisor });
    node.agent.run();
    await assertOutcome(node, uidOf(request), strategy === 'Always');
    if (strategy === 'Always') continue;
    const { reason } = await node.vms.get(refOf(request), never);
    if (reason !== 'NoRecord') throw new Error(`It says ${reason}`);
  }
});
