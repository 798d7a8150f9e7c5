import assert from 'node:assert/strict';
import { readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { type Migration, MigrationPhase } from '../../src/client/api.ts';
import { durationMs, timestampMs } from '../../src/client/time.ts';
import { followMigration } from '../../src/client/watches.ts';
import { PATIENCE_MS } from './moving-vm.ts';
import { TwoNodes } from './two-nodes.ts';

const BYTES_PER_SECOND = 8_000_000;

test('a VM is made, moves while it works, is shut down and deleted, and leaves nothing', async ({
  signal,
}) => {
  await using nodes = await TwoNodes.start(signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, signal);
  assert.equal(await vm.epochAt(a, signal), 1n);
  await wantMoreMemory(nodes, vm.name, signal);
  // Guests may write secrets to it.
  assert.deepEqual(await consolesOf(a), [`${vm.uid}-console.log 600`]);
  using seen = vm.watch();

  const migration = await vm.migrate(a, signal, { bytesPerSecond: BYTES_PER_SECOND });
  const reports = await Array.fromAsync(
    followMigration(nodes.client('a'), migration.id, { signal }),
  );
  expectForward(reports);
  expectPlausible(await migration.expectCompleted(signal));
  await seen.expectArrived(b, signal);
  await vm.expectOnlyAt(b, 2n, signal);
  await nodes.expectNothingLeft(signal);

  const listed = await list(nodes, 'b', signal);
  assert.deepEqual(
    listed.map(({ metadata, status }) => [metadata.name, status.phase]),
    [[vm.name, 'Running']],
  );
  expectNoDrift(listed);
  assert.deepEqual(listed[0]?.status.pendingChanges, WAITING);
  assert.deepEqual(await list(nodes, 'a', signal), []);
  const text = await nodes.novactl(['--node', 'a', 'vm', 'list'], signal);
  assert.doesNotMatch(text.stdout, new RegExp(vm.name));

  // The console's log goes on where the VM is now, and nothing of it stays where it was.
  assert.deepEqual(await consolesOf(a), []);
  const log = await nodes.novactl(['--node', 'b', 'vm', 'log', vm.name], signal);
  assert.equal(log.code, 0, log.stderr);
  assert.match(log.stdout, /novacron-demo count=\d+/);

  const shutdown = await nodes.novactl(
    ['--node', 'b', 'vm', 'shutdown', vm.name, '--timeout', '60s'],
    signal,
  );
  assert.equal(shutdown.code, 0, shutdown.stderr);
  await seen
    .console(b)
    .waitFor(
      'The guest to power itself off',
      PATIENCE_MS,
      () => seen.console(b).powerOff !== undefined,
      signal,
    );
  await waitUntil(
    'Stopped',
    PATIENCE_MS,
    async () => (await list(nodes, 'b', signal))[0]?.status.phase === 'Stopped',
    signal,
  );

  const deleted = await nodes.novactl(['--node', 'b', 'vm', 'delete', vm.name], signal);
  assert.equal(deleted.code, 0, deleted.stderr);
  for (const node of nodes.lab.nodes) {
    assert.equal(await node.libvirt.virsh(['list', '--all', '--name'], signal), '');
    assert.deepEqual(await consolesOf(node), []);
  }
  await nodes.expectNothingLeft(signal);
});

/** The logs of consoles that a node has, with their modes. */
async function consolesOf(node: LabNode): Promise<readonly string[]> {
  const folder = node.outside('var/log/libvirt/qemu');
  const names = (await readdir(folder)).filter((name) => name.includes('-console.log'));
  const modes = names.map(async (name) => (await stat(path.join(folder, name))).mode & 0o777);
  return (await Promise.all(modes)).map((mode, at) => `${names[at]} ${mode.toString(8)}`);
}

/** What waits for the next start, wherever the VM is then. */
const WAITING = [
  {
    field: 'spec.template.spec.resources.memory',
    live: '256Mi',
    wanted: '320Mi',
    waitsFor: 'restart',
  },
];

async function wantMoreMemory(nodes: TwoNodes, name: string, signal: AbortSignal): Promise<void> {
  const { stdout } = await nodes.novactl(['--node', 'a', 'vm', 'get', name, '-o', 'yaml'], signal);
  const changed = path.join(nodes.lab.plan.directory, 'more-memory.yaml');
  await writeFile(changed, stdout.replace('memory: 256Mi', 'memory: 320Mi'));
  const { code, stderr } = await nodes.novactl(
    ['--node', 'a', 'vm', 'apply', '-f', changed],
    signal,
  );
  assert.equal(code, 0, stderr);
}

interface ListedVm {
  readonly metadata: { readonly name: string };
  readonly status: {
    readonly phase: string;
    readonly conditions: readonly { type: string }[];
    readonly pendingChanges?: readonly object[];
  };
}

/** Nothing of its definition may look as if somebody else had changed it, whatever libvirt makes of it. */
function expectNoDrift([vm]: readonly ListedVm[]): void {
  assert.deepEqual(
    vm?.status.conditions.filter(({ type }) => type === 'Drifted'),
    [],
  );
}

async function list(nodes: TwoNodes, node: string, signal: AbortSignal): Promise<ListedVm[]> {
  const { code, stdout, stderr } = await nodes.novactl(
    ['--node', node, 'vm', 'list', '-o', 'json'],
    signal,
  );
  assert.equal(code, 0, stderr);
  return (JSON.parse(stdout) as { items: ListedVm[] }).items;
}

/** Phases come in order, and what never runs backwards does not. */
function expectForward(reports: readonly Migration[]): void {
  assert.ok(reports.length > 4, `${reports.length} reports`);
  for (const [index, { status }] of reports.entries()) {
    const before = reports[index - 1]?.status;
    if (before === undefined || status === undefined) continue;
    assert.ok(status.phase >= before.phase);
    const now = status.progress;
    const then = before.progress;
    assert.ok((now?.fractionDone ?? 0) >= (then?.fractionDone ?? 0));
    assert.ok((now?.wireBytes ?? 0n) >= (then?.wireBytes ?? 0n));
    assert.ok((now?.memoryProcessedBytes ?? 0n) >= (then?.memoryProcessedBytes ?? 0n));
    assert.ok((now?.iteration ?? 0) >= (then?.iteration ?? 0));
  }
  const seen = new Set(reports.map(({ status }) => status?.phase));
  assert.ok(seen.has(MigrationPhase.MIGRATION_PHASE_COPYING));
  assert.equal(reports.at(-1)?.status?.progress?.fractionDone, 1);
}

function expectPlausible({ status }: Migration): void {
  const { result, phases = [], startTime, endTime } = status ?? {};
  const { COPYING, ...last } = {
    COPYING: MigrationPhase.MIGRATION_PHASE_COPYING,
    CLEANING_UP: MigrationPhase.MIGRATION_PHASE_CLEANING_UP,
    COMPLETED: MigrationPhase.MIGRATION_PHASE_COMPLETED,
  };
  const order = phases.map(({ phase }) => phase);
  assert.deepEqual(
    order,
    order.toSorted((x, y) => x - y),
  );
  for (const phase of [MigrationPhase.MIGRATION_PHASE_PREPARING, COPYING, ...Object.values(last)]) {
    assert.ok(order.includes(phase), `phase ${phase} is missing of ${order.join(' ')}`);
  }
  const times = phases.map((phase) => timestampMs(required(phase.startTime)));
  assert.deepEqual(
    times,
    times.toSorted((x, y) => x - y),
  );
  assert.ok(result !== undefined);
  const totalMs = durationMs(required(result.totalTime));
  const downtimeMs = durationMs(required(result.downtime));
  const elapsedMs = timestampMs(required(endTime)) - timestampMs(required(startTime));
  assert.ok(totalMs > 0 && totalMs <= elapsedMs, `${totalMs} of ${elapsedMs} ms`);
  assert.ok(downtimeMs > 0 && downtimeMs < totalMs, `downtime ${downtimeMs} of ${totalMs} ms`);
  assert.ok(result.iterations >= 1);
  assert.equal(result.reconnects, 0);
  assert.ok(result.wireBytes > 1_000_000n);
  // Compressed, so less than what QEMU handed over; limited, so no more than the time allows.
  assert.ok(result.wireBytes < result.memoryProcessedBytes);
  const allowed = (BYTES_PER_SECOND * elapsedMs) / 1000;
  assert.ok(Number(result.wireBytes) < 1.5 * allowed, `${result.wireBytes} of ${allowed} bytes`);
}

function required<T>(value: T | undefined): T {
  assert.ok(value !== undefined);
  return value;
}
