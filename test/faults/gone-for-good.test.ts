import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { MigrationPhase } from '../../src/client/api.ts';
import { type MigrationUnderTest, PATIENCE_MS, SLOW_SWITCHOVER } from '../e2e/moving-vm.ts';
import { storyteller } from '../e2e/stories.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';
import { signalProcess } from '../fixtures/process-signals.ts';

const { MIGRATION_PHASE_SWITCHING_OVER, MIGRATION_PHASE_FAILED } = MigrationPhase;

test('what waits for a node that is gone for good is settled by an operator', async (context) => {
  await using nodes = await TwoNodes.start(context.signal, { reconnectTimeoutMs: 4_000 });
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, context.signal);
  const story = storyteller(context, nodes, vm);

  const settle = ({ id }: MigrationUnderTest, signal: AbortSignal) =>
    nodes.novactl(['migration', 'settle', id, '--node-is-off', 'b'], signal);
  const reportedReason = async (signal: AbortSignal): Promise<string | undefined> => {
    const { status } = await nodes.client('a').vms.get({ name: vm.name }, { signal });
    return status?.reason;
  };

  await story('lost in the switchover, the VM runs on at its source', async (stage) => {
    const { epoch, seen, signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW_SWITCHOVER);
    await migration.reach(MIGRATION_PHASE_SWITCHING_OVER, signal);
    await cutPowerOf(b, signal);
    await waits(migration, signal);
    await waitUntil(
      'The VM to say so',
      PATIENCE_MS,
      async () => (await reportedReason(signal)) === 'WaitingForNode',
      signal,
    );
    const settled = await settle(migration, signal);
    assert.equal(settled.code, 0, settled.stderr);
    const { status } = await migration.end(signal);
    assert.equal(status?.phase, MIGRATION_PHASE_FAILED);
    assert.match(
      status.message,
      /Node b is off for good by the word of .*; the VM stays on node a/,
    );
    assert.equal((await settle(migration, signal)).code, 0, 'said twice');
    await b.libvirt.startLibvirtd(signal);
    await nodes.relaunch(b, signal);
    await vm.expectOnlyAt(a, epoch + 2n, signal);
    await seen.expectStayed(a, signal);
    await nodes.expectNothingLeft(signal);
  });

  await story(
    'lost with the VM, the VM is here again, and not there when that comes back',
    async (stage) => {
      const { epoch, signal } = stage;
      const migration = await vm.migrate(a, signal, SLOW_SWITCHOVER);
      await migration.reach(MIGRATION_PHASE_SWITCHING_OVER, signal);
      await a.agent.kill(signal);
      await b.agent.kill(signal);
      await migration.unleash(signal);
      await waitUntil(
        'The arrival of the VM',
        PATIENCE_MS,
        async () =>
          (await vm.state(b, signal)) === 'running' && (await vm.state(a, signal)) === undefined,
        signal,
      );
      await cutPowerOf(b, signal);
      await nodes.relaunch(a, signal);
      await waits(migration, signal);
      assert.equal((await settle(migration, signal)).code, 0);
      const { status } = await migration.end(signal);
      assert.equal(status?.reason, 'VM_NOT_RUNNING', status?.message);
      assert.equal((await nodes.novactl(['vm', 'start', vm.name], signal)).code, 0);
      assert.equal(await vm.state(a, signal), 'running');
      // One more where node a has not heard yet that the story before is over at node b.
      assert.ok((await vm.epochAt(a, signal)) >= epoch + 2n);

      await b.libvirt.startLibvirtd(signal);
      await nodes.relaunch(b, signal);
      const there = async () => {
        const { virtualMachines } = await nodes.client('b').vms.list({}, { signal });
        return virtualMachines.find(({ metadata }) => metadata?.uid === vm.uid)?.status?.reason;
      };
      await waitUntil(
        'Node b to know whose it is',
        PATIENCE_MS,
        async () => (await there()) === 'StaleCopy',
        signal,
      );
      const refused = await nodes.novactl(['--node', 'b', 'vm', 'start', vm.name], signal);
      assert.match(refused.stderr, /VM_NOT_OWNED/);
      assert.equal(await vm.state(b, signal), 'shut off');
      const deleted = ['--node', 'b', 'vm', 'delete', vm.name, '--unowned-copy'];
      assert.equal((await nodes.novactl(deleted, signal)).code, 0);
      await nodes.expectNothingLeft(signal);
    },
  );
});

/** As of a host that burns down: nobody can say goodbye. */
async function cutPowerOf(node: LabNode, signal: AbortSignal): Promise<void> {
  await node.agent.kill(signal).catch(() => signal.throwIfAborted());
  const dying = () =>
    node
      .processes()
      .filter(({ command }) => /libvirtd|qemu-system|novacron/.test(command[0] ?? ''));
  await waitUntil(
    `The end of node ${node.name}`,
    PATIENCE_MS,
    () => {
      const left = dying();
      for (const { pid } of left) signalProcess(pid, 'SIGKILL');
      return left.length === 0;
    },
    signal,
  );
}

/** Until it says what can be done. */
async function waits(migration: MigrationUnderTest, signal: AbortSignal): Promise<void> {
  await waitUntil(
    'The migration to say what can be done',
    PATIENCE_MS,
    async () => {
      const { status } = await migration.get(signal);
      return status?.message.includes(`settle ${migration.id} --node-is-off b`) === true;
    },
    signal,
  );
}
