import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import type { NodeName } from '../../lab/plan/lab-plan.ts';
import type { Event } from '../../src/client/api.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';
import { signalProcess } from '../fixtures/process-signals.ts';

/** `Started RunStrategy unix:root`, and how often. */
type Told = readonly [words: string, count: number];

test('what happens to a VM is told on both nodes, whoever did it, once, and over killed agents', async (context) => {
  const { signal } = context;
  await using nodes = await TwoNodes.start(signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, signal);

  const eventsOf = async (node: LabNode): Promise<readonly Event[]> => {
    const virtualMachine = { name: '', uid: vm.uid };
    const { events } = await nodes
      .client(node.name as NodeName)
      .events.list({ virtualMachine }, { signal });
    return events.toReversed();
  };
  const toldBy = async (node: LabNode): Promise<readonly Told[]> =>
    (await eventsOf(node)).map(({ reason, cause, requestedBy, count }) => [
      [reason, cause, requestedBy].filter((word) => word !== '').join(' '),
      count,
    ]);
  /** Waits until the last of these is told, and then all of them are, in this order, and nothing else. */
  const expectTold = async (node: LabNode, expected: readonly string[]) => {
    const last = expected.at(-1) ?? '';
    let told: readonly Told[] = [];
    await waitUntil(
      `"${last}" on node ${node.name}`,
      PATIENCE_MS,
      async () => {
        told = await toldBy(node);
        return told.some(([words]) => words === last);
      },
      signal,
    );
    assert.deepEqual(
      told,
      expected.map((words) => [words, 1]),
    );
  };
  const ctl = async (...words: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await nodes.novactl(words, signal);
    assert.equal(code, 0, stderr);
    return stdout;
  };

  const madeOnA = [
    'Requested Create unix:root',
    'Created unix:root',
    'Started RunStrategy unix:root',
  ];
  await expectTold(a, madeOnA);

  await ctl('vm', 'suspend', vm.name);
  const pausedOnA = [...madeOnA, 'Requested Suspend unix:root', 'Paused Suspended unix:root'];
  await expectTold(a, pausedOnA);
  await ctl('vm', 'resume', vm.name);
  const resumedOnA = [...pausedOnA, 'Requested Resume unix:root', 'Resumed Suspended unix:root'];
  await expectTold(a, resumedOnA);

  await vm.moveFrom(a, signal);
  await expectTold(a, [
    ...resumedOnA,
    'MigrationBegan Outgoing',
    'Requested Migrate unix:root',
    'MigrationSucceeded Outgoing',
  ]);
  const arrivedOnB = ['MigrationBegan Incoming', 'MigrationSucceeded Incoming'];
  await expectTold(b, arrivedOnB);

  signalProcess(qemuOf(b, vm.uid), 'SIGKILL');
  const killedOnB = [...arrivedOnB, 'StoppedUnexpectedly Crashed', 'Degraded Crashed'];
  await expectTold(b, killedOnB);

  await ctl('--node', 'b', 'vm', 'start', vm.name);
  const startedOnB = [
    ...killedOnB,
    'Requested Start unix:root',
    'Started Request unix:root',
    'Recovered',
  ];
  await expectTold(b, startedOnB);

  await b.agent.kill(signal);
  await b.libvirt.virsh(['destroy', vm.uid], signal);
  await nodes.relaunch(b, signal);
  const destroyedOnB = [...startedOnB, 'Stopped DestroyedByOther'];
  await expectTold(b, destroyedOnB);
  const [last] = (await eventsOf(b)).slice(-1);
  assert.match(last?.message ?? '', /virsh destroy.*\(seen when the agent was started\)$/);

  await b.agent.kill(signal);
  await nodes.relaunch(b, signal);
  await ctl('--node', 'b', 'vm', 'delete', vm.name);
  const all = [...destroyedOnB, 'Requested Delete unix:root', 'Deleted unix:root'];
  await expectTold(b, all);

  const table = await ctl('--node', 'b', 'events', vm.name, '--type', 'Warning');
  assert.match(table, /^LAST SEEN +TYPE +REASON +VM +MESSAGE\n/);
  assert.match(
    table,
    new RegExp(`\\n\\d+m?\\d*s? +Warning +StoppedUnexpectedly +default/${vm.name} +Its QEMU`),
  );
  assert.equal(table.trim().split('\n').length, 3);
});

function qemuOf(node: LabNode, uid: string): number {
  const found = node
    .processes()
    .find(
      ({ command }) =>
        command.some((word) => word.includes('qemu-system')) &&
        command.some((word) => word.includes(uid)),
    );
  assert.ok(found !== undefined, `No QEMU of VM ${uid} runs on node ${node.name}`);
  return found.pid;
}
