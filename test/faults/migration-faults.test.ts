import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { Certificates } from '../../lab/node/certificates.ts';
import { MigrationPhase } from '../../src/client/api.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { streamersOf } from '../e2e/leftovers.ts';
import { PATIENCE_MS, SLOW } from '../e2e/moving-vm.ts';
import { type Stage, storyteller } from '../e2e/stories.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';
import { freeze, signalProcess } from '../fixtures/process-signals.ts';

const SOME_BYTES = 1_000_000n;
const RECONNECT_TIMEOUT_MS = 4_000;
/** Of a migration that has not ended. */
const UNDER_WAY: readonly MigrationPhase[] = [
  MigrationPhase.MIGRATION_PHASE_PREPARING,
  MigrationPhase.MIGRATION_PHASE_COPYING,
  MigrationPhase.MIGRATION_PHASE_SWITCHING_OVER,
  MigrationPhase.MIGRATION_PHASE_CLEANING_UP,
];

test('what breaks on the way ends a migration truthfully, or not at all', async (context) => {
  await using nodes = await TwoNodes.start(context.signal, {
    reconnectTimeoutMs: RECONNECT_TIMEOUT_MS,
  });
  const { a, b, lab } = nodes;
  const vm = await nodes.bootVm(a, context.signal);
  const story = storyteller(context, nodes, vm);

  await story('a link that is lost for a while is waited for', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    await lab.link.cut(signal);
    await waitUntil(
      'The loss of the link to show',
      PATIENCE_MS,
      async () => {
        const { progress } = (await migration.get(signal)).status ?? {};
        return (progress?.stalled?.seconds ?? 0n) >= 2n;
      },
      signal,
    );
    await lab.link.restore(signal);
    await migration.unleash(signal);
    const { status } = await migration.expectCompleted(signal);
    assert.ok((status?.result?.reconnects ?? 0) >= 1, `${status?.result?.reconnects} reconnects`);
    await expectMoved(stage);
  });

  await story('a link that is lost for too long ends it, and the VM stays', async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    await lab.link.cut(signal);
    const message = await migration.expectFailed('STREAM_FAILED', signal);
    assert.match(message, /link|connection|reach|lane/i);
    await stage.seen.expectStayed(a, signal);
    await lab.link.restore(signal);
    await expectStayed(stage);
  });

  for (const side of ['source', 'destination'] as const) {
    await story(`its ${side}'s streamer killed, the VM stays`, async (stage) => {
      const { signal } = stage;
      const migration = await vm.migrate(a, signal, SLOW);
      await migration.reachBytes(SOME_BYTES, signal);
      const [streamer] = streamersOf(side === 'source' ? a : b);
      assert.ok(streamer !== undefined);
      signalProcess(streamer.pid, 'SIGKILL');
      await migration.expectFailed('STREAM_FAILED', signal);
      await expectStayed(stage);
    });
  }

  await story("a's libvirtd stuck for a while, nothing is lost and nobody lies", async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    {
      using _stuck = freeze(a.libvirt.findPid());
      await migration.unleash(signal);
      await waitUntil(
        'Agent a to notice that its libvirtd is stuck',
        PATIENCE_MS,
        async () => {
          const { phase, message } = (await migration.get(signal)).status ?? {};
          assert.ok(phase !== undefined && UNDER_WAY.includes(phase), `is ${phase}: ${message}`);
          const { virtualMachines } = await nodes.client('b').vms.list({}, { signal });
          assert.deepEqual(virtualMachines, []);
          return (await a.agent.httpGet('/readyz', signal)).status === 503;
        },
        signal,
      );
    }
    await migration.expectCompleted(signal);
    await expectMoved(stage);
  });

  await story("b's libvirtd killed, the VM stays", async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    await nodes.killLibvirtd(b, signal);
    await b.libvirt.startLibvirtd(signal);
    await migration.expectFailed('MIGRATION_FAILED', signal);
    await expectStayed(stage);
  });

  await story("a's libvirtd killed, the migration ends one way and says which", async (stage) => {
    const { signal } = stage;
    const migration = await vm.migrate(a, signal, SLOW);
    await migration.reachBytes(SOME_BYTES, signal);
    await nodes.killLibvirtd(a, signal);
    await a.libvirt.startLibvirtd(signal);
    await migration.expectFailed('HYPERVISOR_UNREACHABLE', signal);
    await expectStayed(stage);
  });
});

test('what stands in the way is said before anything moves', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, b, lab } = nodes;
  const vm = await nodes.bootVm(a, context.signal);
  const story = storyteller(context, nodes, vm);

  /** The plan names it, the start is refused for it, and the VM stays. */
  const expectBlocked = async (
    { signal, seen, epoch }: Stage,
    wanted: {
      readonly reason: string;
      readonly words: RegExp;
      readonly address?: string;
      /** Peers that might come back are waited for, once more at every call. */
      readonly planOnly?: boolean;
    },
  ): Promise<void> => {
    const options = wanted.address === undefined ? {} : { address: wanted.address };
    const plan = await nodes.client('a').migrations.plan(vm.spec(b, options), { signal });
    assert.deepEqual(
      plan.blockers.map(({ reason, nodeName }) => ({ reason, nodeName })),
      [{ reason: wanted.reason, nodeName: 'b' }],
      JSON.stringify(plan.blockers),
    );
    assert.match(plan.blockers[0]?.message ?? '', wanted.words);
    if (wanted.planOnly === true) return;
    await assert.rejects(vm.migrate(a, signal, options), { reason: wanted.reason });
    await nodes.expectNothingLeft(signal);
    await seen.expectStayed(a, signal);
    await vm.expectOnlyAt(a, epoch, signal);
  };

  await story('a certificate of another CA', async (stage) => {
    const others = await Certificates.ensure(`${lab.plan.directory}/others`, stage.signal);
    const credentials = await others.node(b.plan, stage.signal);
    await using _foreign = await nodes.reconfigure(b, { credentials }, stage.signal);
    await expectBlocked(stage, { reason: 'PEER_UNREACHABLE', words: /not signed by our CA/ });
  });

  await story('an address where nobody is', async (stage) => {
    const address = `${b.plan.address}:7999`;
    const words = /nothing listens there.*check that it runs, that the address is right/;
    await expectBlocked(stage, { reason: 'PEER_UNREACHABLE', words, address, planOnly: true });
  });

  await story('an address where another node is', async (stage) => {
    const address = a.agent.advertise;
    const words = /certificate is not that of node b/;
    await expectBlocked(stage, { reason: 'PEER_UNREACHABLE', words, address, planOnly: true });
  });

  await story('an agent that speaks another protocol', async (stage) => {
    const { signal } = stage;
    const { certificate, key, ca } = await (await lab.certificates(signal)).node(b.plan, signal);
    const address = `${b.plan.address}:7998`;
    const program = new URL('foreign-peer.ts', import.meta.url).pathname;
    const command = [process.execPath, program, 'b', address, certificate, key, ca];
    const pid = await b.startDaemon('foreign-peer', command, {}, signal);
    const log = b.logPath('foreign-peer');
    await waitUntil('It to listen', PATIENCE_MS, () => readFileSync(log, 'utf8') !== '', signal);
    await expectBlocked(stage, {
      reason: 'PEER_INCOMPATIBLE',
      words: /version 99 of the peer protocol/,
      address,
    });
    signalProcess(pid, 'SIGKILL');
  });

  await story('too little memory on node b', async (stage) => {
    const reservedMemoryBytes = totalmem() - 128 * 1024 ** 2;
    const settings = { capacity: { reservedMemoryBytes } };
    await using _small = await nodes.reconfigure(b, { settings }, stage.signal);
    await expectBlocked(stage, { reason: 'NODE_CAPACITY_EXCEEDED', words: /memory|MiB/i });
  });

  await story('the same host UUID on both nodes', async (stage) => {
    await using _twin = await nodes.giveHostUuidOf(a, b, stage.signal);
    await expectBlocked(stage, { reason: 'MIGRATION_BLOCKED', words: /same host UUID/ });
  });

  await story('an image that node b does not have', async ({ signal }) => {
    const image = '/run/only-on-a.img';
    await a.run(['truncate', '--size=1M', image], signal);
    const source = { file: { path: image } };
    const machine = {
      resources: { cpu: 1, memory: '64Mi' },
      volumes: [{ name: 'd', source, format: 'raw', shared: true }],
    };
    const off = parseVirtualMachine({
      metadata: { name: 'off' },
      spec: { runStrategy: 'Manual', template: { spec: machine } },
    });
    const client = nodes.client('a');
    await client.vms.create(toVirtualMachineMessage(off), { signal });
    const plan = await client.migrations.plan(
      { virtualMachine: { name: 'off' }, destination: { nodeName: 'b' } },
      { signal },
    );
    assert.deepEqual(
      plan.blockers.map(({ reason, nodeName }) => ({ reason, nodeName })),
      [
        { reason: 'VM_NOT_RUNNING', nodeName: 'a' },
        { reason: 'IMAGE_NOT_FOUND', nodeName: 'b' },
      ],
    );
    assert.match(plan.blockers[1]?.message ?? '', /only-on-a\.img/);
    await client.vms.delete({ name: 'off' }, { signal });
  });
});

async function expectMoved({ nodes, vm, seen, epoch, signal }: Stage): Promise<void> {
  await seen.expectArrived(nodes.b, signal);
  await vm.expectOnlyAt(nodes.b, epoch + 1n, signal);
  await nodes.expectNothingLeft(signal);
}

async function expectStayed({ nodes, vm, seen, epoch, signal }: Stage): Promise<void> {
  await nodes.expectNothingLeft(signal);
  await seen.expectStayed(nodes.a, signal);
  await vm.expectOnlyAt(nodes.a, epoch, signal);
}
