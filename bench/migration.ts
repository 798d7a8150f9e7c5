import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { buildAgent, buildStreamer } from '../lab/builds/build-outputs.ts';
import { LabError } from '../lab/core/project.ts';
import type { ConsoleWatcher } from '../lab/guest/console-watcher.ts';
import { ensureDemoGuest } from '../lab/guest/demo-guest.ts';
import { connectAgent, createDemoVm, findConsoleLog, watchConsole } from '../lab/guest/demo-vm.ts';
import { chooseAccelerator } from '../lab/guest/kvm-probe.ts';
import { Lab } from '../lab/lab.ts';
import { checkMemory, findSwitchover, type GuestCheck } from '../lab/migration/switchover.ts';
import type { LabNode } from '../lab/node/lab-node.ts';
import { formatTable } from '../src/cli/output/table.ts';
import { MigrationPhase } from '../src/client/api.ts';
import { durationMs } from '../src/client/time.ts';
import { followMigration } from '../src/client/watches.ts';
import { interruption } from './measure/interruption.ts';
import {
  allowNativeTls,
  migrateNatively,
  NATIVE_WAYS,
  type NativeWay,
  nativeXml,
} from './measure/native-migration.ts';
import { machine, printMachine, say } from './measure/results.ts';
import { spreadOf } from './measure/spread.ts';

/*
 * The same guest moved over the same shaped link by the agent and by what libvirt and QEMU have themselves, in turn.
 * Each run has a freshly booted guest and both ends' agents idle.
 */

const MODES = {
  idle: 'demo.mode=idle',
  hot: 'demo.mode=hot demo.rate=20000',
  churn: 'demo.mode=churn demo.rate=3000',
} as const;
type Mode = keyof typeof MODES;

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    mbit: { type: 'string', default: '1000' },
    modes: { type: 'string', default: 'idle,hot,churn' },
    ways: { type: 'string', default: 'tls,best' },
    downtime: { type: 'string', default: '100' },
    json: { type: 'boolean', default: false },
  },
});
const MAX_DOWNTIME_MS = Number(options.downtime);
const BOOT_TIMEOUT_MS = 60_000;
const VERIFY_TIMEOUT_MS = 30_000;
const MIGRATION_TIMEOUT_MS = 120_000;
const NAME = 'moving';

interface Run {
  readonly totalMs: number;
  readonly wireBytes: number;
  readonly downtimeMs: number;
  readonly gapMs: number;
  readonly memory: GuestCheck;
}

interface Result {
  readonly mode: Mode;
  readonly way: string;
  readonly runs: readonly Run[];
  readonly failures: readonly string[];
}

const signal = interruption();

await buildAgent(signal);
await buildStreamer(signal);
const guest = await ensureDemoGuest(signal);
const { accelerator } = await chooseAccelerator(signal);
await using lab = await Lab.create({ nodes: ['a', 'b'] }, signal);
const [a, b] = [lab.node('a'), lab.node('b')];
await lab.certificates(signal);
await allowNativeTls(lab, signal);
await lab.startAgents({ accelerator }, signal);
await lab.link.limit(Number(options.mbit) * 1e6, signal);
using client = await connectAgent(a);
using clientB = await connectAgent(b);

const ways = ['ours', ...options.ways.split(',')] as const;
const results: Result[] = [];
for (const mode of options.modes.split(',') as Mode[]) {
  const runs = new Map<string, Run[]>(ways.map((way) => [way, []]));
  const failures = new Map<string, string[]>(ways.map((way) => [way, []]));
  for (let round = 0; round < Number(options.runs); round += 1) {
    for (const way of ways) {
      say(`${mode}, round ${round + 1}: ${nameOf(way)}`);
      try {
        const native = NATIVE_WAYS[way as keyof typeof NATIVE_WAYS] as NativeWay | undefined;
        const done = native === undefined ? await moveOurs(mode) : await moveNatively(mode, native);
        runs.get(way)?.push(done);
        say(`  ${JSON.stringify(done)}`);
      } catch (error) {
        if (!(error instanceof LabError)) throw error;
        say(`  failed: ${error.message}`);
        failures.get(way)?.push(error.message);
      }
      await cleanUp();
    }
  }
  for (const way of ways) {
    const done = runs.get(way) ?? [];
    results.push({ mode, way: nameOf(way), runs: done, failures: failures.get(way) ?? [] });
  }
}

if (options.json) {
  const setting = { mbit: Number(options.mbit), accelerator, maxDowntimeMs: MAX_DOWNTIME_MS };
  console.log(JSON.stringify({ machine: machine(), ...setting, results }));
} else {
  printMachine();
  console.log(
    `${options.mbit} Mbit/s, ${accelerator.toUpperCase()}, median (smallest to largest); × is ours divided by theirs`,
  );
  process.stdout.write(table());
}

function nameOf(way: string): string {
  return way === 'ours' ? 'NovaCron' : NATIVE_WAYS[way as keyof typeof NATIVE_WAYS].name;
}

async function createVm(mode: Mode): Promise<string> {
  const vm = await createDemoVm(client, { name: NAME, guest, parameters: MODES[mode] }, signal);
  return vm.metadata?.uid ?? '';
}

async function moveOurs(mode: Mode): Promise<Run> {
  const log = await findConsoleLog(a, await createVm(mode), signal);
  return observe(log, async () => {
    const id = randomUUID();
    const maxDowntime = { seconds: 0n, nanos: MAX_DOWNTIME_MS * 1e6 };
    const limits = { maxDowntime };
    const spec = { virtualMachine: { name: NAME }, destination: { nodeName: 'b' }, limits };
    await client.migrations.start(id, spec, { signal });
    const patience = AbortSignal.any([signal, AbortSignal.timeout(MIGRATION_TIMEOUT_MS)]);
    for await (const { status } of followMigration(client, id, { signal: patience })) {
      if (status?.phase === MigrationPhase.MIGRATION_PHASE_COMPLETED) {
        return status.result?.downtime === undefined
          ? Number.NaN
          : durationMs(status.result.downtime);
      }
      if (status?.phase === MigrationPhase.MIGRATION_PHASE_FAILED) {
        throw new LabError(`${status.reason}: ${status.message}`);
      }
    }
    throw new LabError('The migration did not end');
  });
}

async function moveNatively(mode: Mode, way: NativeWay): Promise<Run> {
  const uid = await createVm(mode);
  const xml = await a.libvirt.virsh(['dumpxml', '--inactive', uid], signal);
  await client.vms.delete({ name: NAME }, { force: true, signal });
  await a.run(['sh', '-c', 'cat >/run/native.xml'], signal, { input: nativeXml(xml, NAME, way) });
  await a.libvirt.virsh(['define', '/run/native.xml'], signal);
  const log = `/var/log/libvirt/qemu/${NAME}-console.log`;
  return observe(
    log,
    () => {
      const how = { way, maxDowntimeMs: MAX_DOWNTIME_MS };
      const patience = AbortSignal.any([signal, AbortSignal.timeout(MIGRATION_TIMEOUT_MS)]);
      return migrateNatively(a, b, NAME, how, patience);
    },
    () => a.libvirt.virsh(['start', NAME], signal),
  );
}

/** Boots, migrates, and asks the link and the guest how that was. */
async function observe(
  log: string,
  migrate: () => Promise<number>,
  boot: () => Promise<unknown> = () => Promise.resolve(),
): Promise<Run> {
  using source = watchConsole(a, log);
  using destination = watchConsole(b, log);
  await boot();
  await source.waitFor('The guest', BOOT_TIMEOUT_MS, () => source.passes.length > 0, signal);
  const before = await wireBytes(a);
  const start = performance.now();
  const downtimeMs = await migrate();
  const totalMs = performance.now() - start;
  const after = await wireBytes(a);
  const memory = await memoryAfterArrival(destination);
  const gapMs = findSwitchover(source, destination)?.gapMs ?? Number.NaN;
  return { totalMs, wireBytes: after - before, downtimeMs, gapMs, memory };
}

async function memoryAfterArrival(destination: ConsoleWatcher): Promise<GuestCheck> {
  const isDecided = () => checkMemory(destination) !== 'not verified';
  await destination.waitFor('The check', VERIFY_TIMEOUT_MS, isDecided, signal).catch((error) => {
    if (!(error instanceof LabError)) throw error;
  });
  return checkMemory(destination);
}

/** Both directions of a node's end of the link, encryption, headers and control calls included. */
async function wireBytes(node: LabNode): Promise<number> {
  const text = await readFile(`/proc/${node.initPid}/net/dev`, 'utf8');
  const [received = 0, ...rest] =
    /eth0:(.*)/.exec(text)?.[1]?.trim().split(/\s+/).map(Number) ?? [];
  return received + (rest[7] ?? 0);
}

async function cleanUp(): Promise<void> {
  for (const agent of [client, clientB]) {
    await agent.vms.delete({ name: NAME }, { force: true, signal }).catch(() => undefined);
  }
  for (const { libvirt } of [a, b]) {
    for (const verb of ['destroy', 'undefine']) {
      await libvirt.virsh([verb, NAME], signal).catch(() => undefined);
    }
  }
}

function table(): string {
  const headers = [
    'GUEST',
    'WAY',
    'TOTAL s',
    '×',
    'WIRE MiB',
    '×',
    'DOWN ms',
    'GAP ms',
    '×',
    'MEMORY',
  ];
  const rows = results.map(({ mode, way, runs, failures }) => {
    const ours = results.find((other) => other.mode === mode)?.runs ?? [];
    const cells = (key: 'totalMs' | 'wireBytes' | 'gapMs', unit: number, digits: number) => {
      const value = spreadOf(runs.map((run) => run[key]));
      const share = spreadOf(ours.map((run) => run[key])).median / value.median;
      const text = [value.median, value.min, value.max].map((x) => (x / unit).toFixed(digits));
      return [`${text[0]} (${text[1]} to ${text[2]})`, way === 'NovaCron' ? '' : share.toFixed(2)];
    };
    if (runs.length === 0) return [mode, way, `failed: ${failures[0]?.split('\n').at(-1)}`];
    const verified = runs.filter(({ memory }) => memory === 'verified').length;
    const downtime = spreadOf(runs.map((run) => run.downtimeMs)).median.toFixed(0);
    return [
      mode,
      way,
      ...cells('totalMs', 1000, 2),
      ...cells('wireBytes', 1024 ** 2, 1),
      downtime,
      ...cells('gapMs', 1, 0),
      `${verified} of ${runs.length + failures.length} verified`,
    ];
  });
  return formatTable(headers, rows);
}
