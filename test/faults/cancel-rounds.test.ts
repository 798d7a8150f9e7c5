import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import type { LabNode } from '../../lab/node/lab-node.ts';
import type { NodeName } from '../../lab/plan/lab-plan.ts';
import { type Migration, MigrationPhase } from '../../src/client/api.ts';
import { delay } from '../../src/core/delay.ts';
import { hasReason } from '../../src/core/errors.ts';
import { type DemoVm, MigrationUnderTest, SLOW } from '../e2e/moving-vm.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';
import { countOpenFiles, expectNoMoreFiles, type OpenFiles } from './open-files.ts';

const ROUNDS = 40;
/** Every so many a migration goes at full speed, and may be over before it is called back. */
const FAST_EVERY = 5;
/** Between the start and the calling back at most, in which most is yet to be prepared; and of those at full speed. */
const LONGEST_WAIT_MS = 300;
const LONGEST_FAST_WAIT_MS = 3_000;
/** Fewer than one for each round. */
const SPARE_FILES = 25;

const FOLDERS = ['run/novacron', 'var/lib/libvirt/qemu', 'run/libvirt/qemu', 'state'];

const { MIGRATION_PHASE_CANCELLED, MIGRATION_PHASE_COMPLETED } = MigrationPhase;

test('a VM is sent and called back again and again, each time at another moment: each says what has come of it, the next can begin at once, and nothing adds up', async (context) => {
  const { signal } = context;
  await using nodes = await TwoNodes.start(signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, signal);
  // What the first migrations make for all that come.
  await vm.moveFrom(a, signal);
  await vm.moveFrom(b, signal);
  const before = await traces(nodes, signal);
  const ended: Ended[] = [];
  let at = a;
  let epoch = await vm.epochAt(a, signal);
  for (let round = 0; round < ROUNDS; round += 1) {
    const migration = await sendAndCallBack(nodes, vm, { at, round }, signal);
    const phase = migration.status?.phase ?? 0;
    ended.push({ id: migration.id, source: at, phase });
    if (phase === MIGRATION_PHASE_COMPLETED) {
      at = nodes.other(at);
      epoch += 1n;
    } else {
      assert.equal(phase, MIGRATION_PHASE_CANCELLED, migration.status?.message);
    }
    await vm.expectOnlyAt(at, epoch, signal);
  }
  const cancelled = ended.filter(({ phase }) => phase === MIGRATION_PHASE_CANCELLED);
  context.diagnostic(`${cancelled.length} of ${ROUNDS} were in time`);
  assert.ok(cancelled.length >= ROUNDS / 2, `only ${cancelled.length} were in time`);

  for (const { id, source, phase } of ended) {
    const again = cancel(nodes, source, id, signal);
    const isCancelled = phase === MIGRATION_PHASE_CANCELLED;
    assert.equal((await again)?.status?.phase, isCancelled ? phase : undefined);
    await expectEndedThere(nodes, { id, source, phase }, signal);
  }
  if (at !== a) await vm.moveFrom(at, signal);
  await nodes.expectNothingLeft(signal);
  using seen = vm.watch();
  await seen.expectStayed(a, signal);
  await expectNoMore(nodes, before, signal);
});

interface Ended {
  readonly id: string;
  readonly source: LabNode;
  readonly phase: MigrationPhase;
}

/** Returns once it has ended. */
async function sendAndCallBack(
  nodes: TwoNodes,
  vm: DemoVm,
  { at, round }: { readonly at: LabNode; readonly round: number },
  signal: AbortSignal,
): Promise<Migration> {
  const id = randomUUID();
  const isFast = round % FAST_EVERY === 0;
  const spec = vm.spec(nodes.other(at), isFast ? {} : SLOW);
  const waitMs = (isFast ? LONGEST_FAST_WAIT_MS : LONGEST_WAIT_MS) * (round / ROUNDS);
  const client = nodes.client(at.name as NodeName);
  const starting = client.migrations.start(id, spec, { signal });
  const calling = (async () => {
    // What is tried is the moment, so nothing is waited for.
    await delay(waitMs, signal);
    return cancel(nodes, at, id, signal);
  })();
  const [, called] = await Promise.all([starting, calling]);
  // It has overtaken the start, or came too late.
  if (called === undefined) await cancel(nodes, at, id, signal);
  return new MigrationUnderTest(nodes, at, id).end(signal);
}

/** Undefined if there is no such migration yet, or it is too late for that. */
async function cancel(
  nodes: TwoNodes,
  source: LabNode,
  id: string,
  signal: AbortSignal,
): Promise<Migration | undefined> {
  try {
    return await nodes.client(source.name as NodeName).migrations.cancel(id, { signal });
  } catch (error) {
    if (hasReason(error, 'MIGRATION_NOT_FOUND', 'MIGRATION_PAST_SWITCHOVER')) return undefined;
    throw error;
  }
}

/** The other node says of it what this one says; of one that was called back before that node was asked it knows nothing. */
async function expectEndedThere(nodes: TwoNodes, ended: Ended, signal: AbortSignal): Promise<void> {
  const there = nodes.client(nodes.other(ended.source).name as NodeName);
  const { migrations } = await there.migrations.list({}, { signal });
  const known = migrations.find(({ id }) => id === ended.id);
  if (known === undefined) assert.equal(ended.phase, MIGRATION_PHASE_CANCELLED);
  else assert.equal(known.status?.phase, ended.phase, known.status?.message);
}

/** What is on the nodes that could add up, other than records of what has ended. */
interface Traces {
  /** Of both nodes: programs, domains, files and sockets, memory and CPUs that are set aside. */
  readonly things: readonly string[];
  readonly openFiles: OpenFiles;
}

async function traces(nodes: TwoNodes, signal: AbortSignal): Promise<Traces> {
  const things: string[] = [];
  for (const node of nodes.lab.nodes) {
    const client = nodes.client(node.name as NodeName);
    const { status } = await client.node.get({ signal });
    const domains = await node.libvirt.virsh(['list', '--all', '--name'], signal);
    const files = await Promise.all(FOLDERS.map((folder) => filesIn(node, folder)));
    const of = [
      ...node
        .processes()
        // Kept for a while for the next question, wherever it comes.
        .filter(({ command }) => !command.some((word) => word.includes('image-process')))
        .map(({ command }) => path.basename(command[0] ?? '')),
      ...domains.split('\n').filter((name) => name !== ''),
      ...files.flat(),
      JSON.stringify(status?.allocated),
    ];
    things.push(...of.map((thing) => `node ${node.name}: ${thing}`));
  }
  return { things: things.toSorted(), openFiles: await countOpenFiles(nodes, signal) };
}

/** libvirt numbers a VM anew wherever it arrives, also where it has come back. Agents have one file from their first minute on. */
async function filesIn(node: LabNode, folder: string): Promise<readonly string[]> {
  const names = await readdir(node.outside(folder), { recursive: true });
  return names
    .filter((name) => name !== 'domains')
    .map((name) => name.replace(/domain-\d+-/, 'domain-N-'));
}

async function expectNoMore(nodes: TwoNodes, before: Traces, signal: AbortSignal): Promise<void> {
  const after = await traces(nodes, signal);
  assert.deepEqual(after.things, before.things);
  await expectNoMoreFiles(nodes, before.openFiles, SPARE_FILES, signal);
}
