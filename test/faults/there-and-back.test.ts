import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { durationMs } from '../../src/client/time.ts';
import type { DemoVm } from '../e2e/moving-vm.ts';
import { agentPid, driverOf, TwoNodes } from '../e2e/two-nodes.ts';

const ROUNDS = Number(process.env['NOVACRON_E2E_ROUNDS'] ?? 3);
/** Rounds until the agents have grown to their size: code compiled, pools filled. */
const WARM_UP_ROUNDS = Math.floor(ROUNDS / 3);

interface Footprint {
  /** Memory that belongs to nobody else; what is shared depends on who else runs. */
  readonly anonymousMib: number;
  readonly pssMib: number;
  readonly descriptors: number;
}

test('a VM that moves there and back, again and again, keeps its memory, and the agents their size', async (context) => {
  const { signal } = context;
  await using nodes = await TwoNodes.start(signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, signal, { parameters: 'demo.rate=3000' });
  const footprints: Record<string, Footprint[]> = { a: [], b: [] };
  const moves: Move[] = [];
  for (let done = 0; done < ROUNDS; done++) {
    moves.push(await move(nodes, vm, { from: a, to: b }, signal));
    moves.push(await move(nodes, vm, { from: b, to: a }, signal));
    assert.equal(await vm.epochAt(a, signal), 3n + 2n * BigInt(done));
    for (const node of [a, b]) footprints[node.name]?.push(footprintOf(node));
  }
  for (const what of ['downtimeMs', 'gapMs', 'totalMs'] as const) {
    context.diagnostic(`${what}: ${describe(moves.map((one) => one[what]))}`);
  }
  for (const [name, all] of Object.entries(footprints)) {
    const steady = all.slice(WARM_UP_ROUNDS);
    const mib = all.map(({ pssMib, anonymousMib }) => `${round(anonymousMib)}/${round(pssMib)}`);
    context.diagnostic(`${name}: MiB anonymous/PSS ${mib.join(' ')}`);
    context.diagnostic(`${name}: descriptors ${all.map((one) => one.descriptors).join(' ')}`);
    const half = Math.floor(steady.length / 2);
    const early = mean(steady.slice(0, half).map((one) => one.anonymousMib));
    const late = mean(steady.slice(-half).map((one) => one.anonymousMib));
    assert.ok(late < 1.2 * early, `agent ${name} grew from ${early} to ${late} MiB`);
    const [first, last] = [steady[0]?.descriptors ?? 0, steady.at(-1)?.descriptors ?? 0];
    assert.ok(last <= first + 4, `agent ${name} went from ${first} to ${last} descriptors`);
  }
});

interface Move {
  readonly downtimeMs: number;
  readonly gapMs: number;
  readonly totalMs: number;
}

async function move(
  nodes: TwoNodes,
  vm: DemoVm,
  { from, to }: { readonly from: LabNode; readonly to: LabNode },
  signal: AbortSignal,
): Promise<Move> {
  using seen = vm.watch();
  const migration = await vm.migrate(from, signal);
  const { status } = await migration.expectCompleted(signal);
  const { gapMs } = await seen.expectArrived(to, signal);
  await nodes.expectNothingLeft(signal);
  const { downtime, totalTime } = status?.result ?? {};
  assert.ok(downtime !== undefined && totalTime !== undefined);
  return { downtimeMs: durationMs(downtime), gapMs, totalMs: durationMs(totalTime) };
}

/** Of the agent and its libvirt driver process together. */
function footprintOf(node: LabNode): Footprint {
  const pids = [agentPid(node), driverOf(node).pid];
  const mib = (key: string): number =>
    sum(
      pids.map((pid) => {
        const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
        return Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(rollup)?.[1]) / 1024;
      }),
    );
  const descriptors = pids.map((pid) => readdirSync(`/proc/${pid}/fd`).length);
  return { anonymousMib: mib('Pss_Anon'), pssMib: mib('Pss'), descriptors: sum(descriptors) };
}

function describe(values: readonly number[]): string {
  const sorted = values.toSorted((x, y) => x - y).map(Math.round);
  const median = sorted[Math.floor(sorted.length / 2)];
  return `median ${median}, least ${sorted[0]}, most ${sorted.at(-1)} of ${sorted.length}`;
}

function round(value: number): string {
  return value.toFixed(1);
}

function mean(values: readonly number[]): number {
  return sum(values) / values.length;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
