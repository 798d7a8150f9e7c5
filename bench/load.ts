import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { buildAgent } from '../lab/builds/build-outputs.ts';
import { inProject } from '../lab/core/project.ts';
import { AGENT_PORT } from '../lab/node/agent.ts';
import { interruption } from './measure/interruption.ts';
import { cpuSeconds, pssMib, sum } from './measure/process-costs.ts';
import type { Target } from './measure/raw-calls.ts';
import { machine, printMachine, printRows, say } from './measure/results.ts';
import { type Spread, spreadOf } from './measure/spread.ts';
import { VmNode } from './measure/vm-node.ts';

/*
 * A real agent with VMs, asked by many callers over mutual TLS, and meanwhile by somebody who only wants to know whether it is
 * well. The callers are processes of their own, and take CPU time from the agent where there are few cores.
 */

const { values: options } = parseArgs({
  options: {
    vms: { type: 'string', default: '100' },
    running: { type: 'string', default: '10' },
    seconds: { type: 'string', default: '20' },
    json: { type: 'boolean', default: false },
  },
});
const VMS = Number(options.vms);
const SECONDS = Number(options.seconds);
const PROCESSES = 2;
const PSS_EVERY_MS = 500;
/** A change every so often, of which those who watch are told. */
const CHANGE_EVERY_MS = 250;

interface Stage {
  readonly kind: 'control-plane' | 'gets' | 'refused';
  readonly callers: number;
  readonly connections: number;
  /** Undefined for as fast as they are answered. */
  readonly callsPerSecond?: number;
}

/** What a control plane asks: of a thousand that list or get, each every five seconds. Then what a VM costs, and what a refusal. */
const STAGES: readonly Stage[] = [
  { kind: 'control-plane', callers: 400, connections: 200, callsPerSecond: 80 },
  { kind: 'control-plane', callers: 1_000, connections: 200, callsPerSecond: 200 },
  { kind: 'control-plane', callers: 400, connections: 200 },
  { kind: 'control-plane', callers: 1_000, connections: 200 },
  { kind: 'gets', callers: 100, connections: 50 },
  { kind: 'refused', callers: 100, connections: 50 },
];

const signal = interruption();
await buildAgent(signal);
await using node = await VmNode.start(signal);
const target: Target = {
  // A node by itself has no other network.
  address: `127.0.0.1:${AGENT_PORT}`,
  nodeName: node.machine.name,
  files: await node.clientFiles(signal),
};
say(`Making ${VMS} VMs`);
await node.makeVms(VMS, Number(options.running), signal);

const results = [];
const before = memory();
for (const stage of STAGES) {
  say(`${nameOf(stage)}, for ${SECONDS} s`);
  results.push({ ...stage, ...(await measure(stage)) });
  await sleep(3_000, undefined, { signal });
}
const after = memory();

if (options.json) {
  const stages = results.map(({ healthMs, listMs, ...rest }) => ({
    ...rest,
    healthP99Ms: healthMs.p99,
    healthMs,
    listMs,
  }));
  console.log(JSON.stringify({ vms: VMS, stages, pssMiB: { before, after }, machine: machine() }));
} else {
  printMachine();
  printRows(
    results.flatMap((result) => [
      { what: nameOf(result), value: `${result.answered.toFixed(0)} calls/s`, note: result.codes },
      { what: '  health', ...spreadText(result.healthMs) },
      ...(result.kind === 'control-plane'
        ? [{ what: '  list', ...spreadText(result.listMs) }]
        : []),
      {
        what: '  agent',
        value: `${result.peakMiB.toFixed(0)} MiB at most`,
        note: `${result.cpuPercent.toFixed(0)} % of a core, ${result.cpuMsPerCall.toFixed(2)} ms for a call`,
      },
    ]),
  );
  console.log(`memory (PSS) ${before.toFixed(1)} MiB before, ${after.toFixed(1)} MiB after`);
}

async function measure(stage: Stage) {
  const peak = new AbortController();
  const both = AbortSignal.any([signal, peak.signal]);
  const watching = Promise.all([watchMemory(both), changeVms(both)]);
  const share = (whole: number | undefined) =>
    whole === undefined ? {} : { callsPerSecond: whole / PROCESSES };
  const order = {
    target,
    kind: stage.kind,
    callers: stage.callers / PROCESSES,
    connections: stage.connections / PROCESSES,
    seconds: SECONDS,
    ...share(stage.callsPerSecond),
    vms: VMS,
  };
  const callers = Array.from({ length: PROCESSES }, () => client('callers', order));
  for (const { begun } of callers) await begun;
  const cpu = agentCpu();
  const prober = client('health-prober', { target, seconds: SECONDS - 1 });
  const { times, failures } = JSON.parse(await prober.said) as HealthReport;
  const cpuPercent = ((agentCpu() - cpu) / (SECONDS - 1)) * 100;
  const said = await Promise.all(callers.map((each) => each.said));
  const reports = said.map((text) => JSON.parse(text) as CallersReport);
  peak.abort();
  const [peakMiB] = await watching;
  const codes: Record<string, number> = {};
  for (const report of reports) {
    for (const [code, count] of Object.entries(report.codes))
      codes[code] = (codes[code] ?? 0) + count;
  }
  const answered = sum(Object.values(codes)) / SECONDS;
  return {
    answered,
    cpuMsPerCall: (cpuPercent * 10) / answered,
    codes: Object.entries(codes)
      .map(([code, count]) => `${count} with status ${code}`)
      .join(', '),
    healthMs: spreadOf(times),
    healthFailures: failures,
    listMs: spreadOf(reports.flatMap(({ listMs }) => listMs)),
    watchMessages: sum(reports.map(({ messages }) => messages)),
    peakMiB,
    cpuPercent,
  };
}

interface CallersReport {
  readonly codes: Readonly<Record<string, number>>;
  readonly listMs: readonly number[];
  readonly messages: number;
}

interface HealthReport {
  readonly times: readonly number[];
  readonly failures: number;
}

interface Client {
  /** Once it is connected. */
  readonly begun: Promise<unknown>;
  /** Its last line, once it has ended. */
  readonly said: Promise<string>;
}

/** In the node's network. Before all others, so that what is measured is the agent and not the turn of the client. */
function client(name: string, order: object): Client {
  const enter = ['--target=' + node.machine.initPid, '--net'];
  const nice = name === 'health-prober' ? ['nice', '-n', '-10'] : [];
  const words = [process.execPath, inProject('bench/clients', `${name}.ts`), JSON.stringify(order)];
  const child = spawn('nsenter', [...enter, ...nice, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
    signal,
  });
  const failed = once(child, 'error').then(([error]) => Promise.reject(error as Error));
  return {
    begun: Promise.race([once(child.stdout, 'data'), failed]),
    said: Promise.race([lastLine(child.stdout), failed]),
  };
}

async function lastLine(output: Readable): Promise<string> {
  return (await text(output)).trimEnd().split('\n').at(-1) ?? '';
}

function agentCpu(): number {
  return sum(node.processes().map(cpuSeconds));
}

function memory(): number {
  return sum(node.processes().map(pssMib));
}

async function watchMemory(until: AbortSignal): Promise<number> {
  let most = 0;
  while (!until.aborted) {
    most = Math.max(most, memory());
    await sleep(PSS_EVERY_MS, undefined, { signal: until }).catch(() => undefined);
  }
  return most;
}

async function changeVms(until: AbortSignal): Promise<void> {
  for (let count = 0; !until.aborted; count += 1) {
    // One that is not answered in time is load too.
    await node.annotate(`vm-${VMS - 1}`, String(count), signal).catch(() => undefined);
    await sleep(CHANGE_EVERY_MS, undefined, { signal: until }).catch(() => undefined);
  }
}

function nameOf({ kind, callers, connections, callsPerSecond }: Stage): string {
  const rate = callsPerSecond === undefined ? 'as fast as answered' : `${callsPerSecond} calls/s`;
  const what = kind === 'control-plane' ? '' : `${kind}, `;
  return `${what}${callers} callers, ${connections} connections, ${rate}`;
}

function spreadText({ median, p99, max }: Spread) {
  return {
    value: `p99 ${p99.toFixed(1)} ms`,
    note: `median ${median.toFixed(1)}, most ${max.toFixed(1)} ms`,
  };
}
