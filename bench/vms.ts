import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { buildAgent } from '../lab/builds/build-outputs.ts';
import { LabError } from '../lab/core/project.ts';
import { BUILT_NOVACTL } from '../lab/node/novactl-program.ts';
import { BusyProcesses } from '../lab/test/busy-processes.ts';
import { creationTimes } from './measure/creations.ts';
import { interruption } from './measure/interruption.ts';
import { commandTimes, listTimes, scrapeTimes, startTimes } from './measure/node-programs.ts';
import { cpuSeconds, pssMib, sum } from './measure/process-costs.ts';
import { machine, printMachine, printRows, type Row, say } from './measure/results.ts';
import type { Spread } from './measure/spread.ts';
import { VmNode } from './measure/vm-node.ts';

/*
 * A real agent with VMs on a libvirt of its own, seen from outside: its memory, what it takes while it idles, how long it
 * takes to start, to list and to make a VM. The peer is virsh on the same libvirtd in the same run.
 */

const { values: options } = parseArgs({
  options: {
    vms: { type: 'string', default: '100' },
    running: { type: 'string', default: '10' },
    'user-data': { type: 'string', default: '0' },
    json: { type: 'boolean', default: false },
  },
});
const VMS = countOf('vms', options.vms);
const RUNNING = countOf('running', options.running);
const USER_DATA_BYTES = countOf('user-data', options['user-data']);
const SETTLE_MS = 6_000;
const IDLE_SECONDS = 60;
/** For so long V8 clears up behind what was asked before. */
const UNTIL_IDLE_MS = 20_000;
const signal = interruption();

await buildAgent(signal);
await using node = await VmNode.start(signal);
const novactl = [...BUILT_NOVACTL, '--address', node.address];
const virsh = ['virsh', '-c', node.machine.libvirt.uri];

await node.warmUp(signal);
const pssWithout = sum((await settledPss()).map(({ mib }) => mib));
const creations = await creationTimes(node, 40, signal);
say(`Making ${VMS} VMs, ${RUNNING} of them running`);
await node.makeVms(VMS, RUNNING, signal, USER_DATA_BYTES);
const pssMade = await settledPss();

say('Listing');
const list = await listBusy();
const vmList = await commandTimes([...novactl, 'vm', 'list'], 20, signal);
const nodeAlone = await commandTimes([process.execPath, '-e', '0'], 20, signal);
const virshList = await commandTimes([...virsh, 'list', '--all'], 20, signal);
const virshStats = await commandTimes([...virsh, 'domstats', '--nowait'], 20, signal);
say('Scraping');
const scrape = await scrapeTimes(node, 100, signal);
const pssAsked = await settledPss();
say(`Idling for ${IDLE_SECONDS} s`);
await sleep(UNTIL_IDLE_MS, undefined, { signal });
const idle = await idlePercent();
say('Starting it anew');
const start = await startTimes(node, 7, signal);
const pssRestarted = await settledPss();

const totals = [pssMade, pssAsked, pssRestarted].map((parts) => sum(parts.map(({ mib }) => mib)));
const virshMs = virshList.median + virshStats.median;
const peer = {
  virshListMs: virshList.median,
  virshStatisticsMs: virshStats.median,
  virshCreateMs: creations.virsh.median,
  vmListRatio: vmList.median / virshMs,
  listRatio: list.spread.median / virshMs,
};
const result = {
  vms: VMS,
  running: RUNNING,
  listed: list.listed,
  listMs: list.spread.median,
  listP99Ms: list.spread.p99,
  pssMiB: Math.max(...totals),
  pssMiBWithoutVms: pssWithout,
  growthMiBPerVm: ((totals[0] ?? Number.NaN) - pssWithout) / VMS,
  idleCpuPercent: sum(idle.agent.map(({ percent }) => percent)),
  idleSeconds: IDLE_SECONDS,
  startToReadyMs: start.median,
  vmListMs: vmList.median,
  nodeAloneMs: nodeAlone.median,
  scrapeP99Ms: scrape.p99,
  userDataBytes: USER_DATA_BYTES,
  createMs: creations.agent.median,
  createExcessMs: creations.excess.median,
  peer,
};

if (options.json) {
  const processes = pssAsked.map(({ name, mib }) => ({ name, pssMiB: mib }));
  console.log(JSON.stringify({ ...result, processes, machine: machine() }));
} else {
  printMachine();
  const [made = 0, asked = 0, restarted = 0] = totals;
  const { growthMiBPerVm, idleCpuPercent } = result;
  printRows([
    row('list over gRPC, one other core busy', list.spread, `p99 ${ms(list.spread.p99)}`),
    row('virsh list --all', virshList, `list takes ${ratio(peer.listRatio)} of both of virsh's`),
    row('virsh domstats', virshStats, ''),
    row('novactl vm list, a process', vmList, `${ratio(peer.vmListRatio)} of both of virsh's`),
    row('node -e 0, a process', nodeAlone, ''),
    row('a diskless VM, made and running', creations.agent, ''),
    row(
      'the same by virsh create',
      creations.virsh,
      `the agent takes ${ms(creations.excess.median)} more`,
    ),
    row('metrics scrape', scrape, `p99 ${ms(scrape.p99)}`),
    mib(`memory (PSS) without VMs`, pssWithout, ''),
    mib(`… with ${VMS} VMs`, made, `${growthMiBPerVm.toFixed(3)} MiB for each VM`),
    mib('… after all this asking', asked, ''),
    ...pssAsked.map((part) => mib(`    of which ${part.name}`, part.mib, '')),
    mib('… after a restart', restarted, ''),
    percent(`CPU while idle for ${IDLE_SECONDS} s`, idleCpuPercent, 'of a core'),
    ...idle.agent.map((part) => percent(`    of which ${part.name}`, part.percent, '')),
    percent('    libvirtd meanwhile', idle.libvirtd, ''),
    row('start to ready', start, `slowest ${ms(start.max)}`),
  ]);
}

function countOf(name: string, text: string): number {
  if (/^\d{1,5}$/.test(text)) return Number(text);
  throw new LabError(`--${name} is a number, not "${text}"`);
}

/** With nothing asked of it for a while. */
async function settledPss(): Promise<{ readonly name: string; readonly mib: number }[]> {
  await sleep(SETTLE_MS, undefined, { signal });
  return node.processes().map((part) => ({ name: part.name, mib: pssMib(part) }));
}

async function listBusy() {
  await using _ = new BusyProcesses(1);
  return await listTimes(node, 1_000, signal);
}

async function idlePercent() {
  const parts = node.processes();
  const libvirtd = { name: 'libvirtd', pid: node.machine.libvirt.findPid() ?? 0 };
  const all = [...parts, libvirtd];
  const before = all.map(cpuSeconds);
  await sleep(IDLE_SECONDS * 1_000, undefined, { signal });
  const used = all.map((part, at) => ({
    name: part.name,
    percent: ((cpuSeconds(part) - (before[at] ?? 0)) / IDLE_SECONDS) * 100,
  }));
  return { agent: used.slice(0, -1), libvirtd: used.at(-1)?.percent ?? Number.NaN };
}

function row(what: string, spread: Spread, note: string): Row {
  return { what, value: `${ms(spread.median)} (${ms(spread.min)} to ${ms(spread.max)})`, note };
}

function mib(what: string, value: number, note: string): Row {
  return { what, value: `${value.toFixed(1)} MiB`, note };
}

function percent(what: string, value: number, note: string): Row {
  return { what, value: `${value.toFixed(2)} %`, note };
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}

function ratio(value: number): string {
  return `${value.toFixed(3)} ×`;
}
