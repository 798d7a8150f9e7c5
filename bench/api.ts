import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { buildAgent } from '../lab/builds/build-outputs.ts';
import { inProject } from '../lab/core/project.ts';
import { run } from '../lab/core/run-command.ts';
import { connectAgent } from '../lab/guest/demo-vm.ts';
import { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/node/lab-node.ts';
import type { AgentClient } from '../src/client/agent-client.ts';
import { toVirtualMachineMessage } from '../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../src/core/resources/parse-virtual-machine.ts';
import { agentPids, cpuSeconds, pssMib } from './measure/process-costs.ts';
import { machine, printMachine, printRows, type Row, say } from './measure/results.ts';
import { type Spread, spreadOf, timesMs } from './measure/spread.ts';

/*
 * A real agent with VMs on a libvirt of its own: what listing, scraping, waiting and starting cost. The peer is virsh on
 * the same libvirtd in the same run.
 */

const { values: options } = parseArgs({
  options: {
    vms: { type: 'string', default: '100' },
    running: { type: 'string', default: '10' },
    json: { type: 'boolean', default: false },
  },
});
const VMS = Number(options.vms);
const RUNNING = Number(options.running);
// With what QEMU needs for itself each running VM counts 88Mi of the node's memory, so ten take 880Mi of it.
const MEMORY = '16Mi';
const IMAGE = '/run/nothing.raw';
const SETTLE_MS = 6_000;
const IDLE_MS = 25_000;
/** Its firmware finds nothing to boot, and then idles. All VMs may read the same empty CD-ROM. */
const IDLE_MACHINE = {
  resources: { cpu: 1, memory: MEMORY },
  volumes: [{ name: 'none', kind: 'cdrom', format: 'raw', source: { file: { path: IMAGE } } }],
};
const stop = new AbortController();
process.once('SIGINT', () => stop.abort(new Error('Interrupted')));
const { signal } = stop;

await buildAgent(signal);
await using lab = await Lab.create({ nodes: ['a'] }, signal);
const node = lab.node('a');
await node.run(['truncate', '--size=1M', IMAGE], signal);
await lab.startAgents({ accelerator: 'tcg' }, signal);
using client = await connectAgent(node);

const pss: Record<number, number> = { 0: await settledPss(node) };
for (const upTo of [Math.floor(VMS / 2), VMS]) {
  say(`Making VMs up to ${upTo}, ${RUNNING} of them running`);
  await createVms(client, upTo);
  pss[upTo] = await settledPss(node);
}

say('Listing');
const list = await measure(400, () => client.vms.list({}, { signal }));
const { virtualMachines } = await client.vms.list({}, { signal });
const uri = ['virsh', '-c', node.libvirt.uri];
const virshList = await measure(20, () => run([...uri, 'list', '--all'], {}, signal));
const virshStats = await measure(20, () => run([...uri, 'domstats', '--nowait'], {}, signal));
const novactl = [process.execPath, inProject('dist/cli/main.js')];
const novactlList = await measure(20, () =>
  run([...novactl, '--address', `unix:${node.agent.socket}`, 'vm', 'list'], {}, signal),
);
say('Scraping');
const scrape = spreadOf(await scrapeTimesMs(node, 100));
say(`Idling for ${IDLE_MS / 1000} s`);
const idle = await idleCpu(node);
say('Starting it anew');
const start = spreadOf(await startTimesMs(node, 7));
const pssRestarted = await settledPss(node);

const growth = ((pss[VMS] ?? 0) - (pss[0] ?? 0)) / VMS;
if (options.json) {
  const sizes = { vms: VMS, running: RUNNING, listed: virtualMachines.length };
  const times = { list, virshList, virshStats, novactlList, scrape, start };
  const memory = { pssMib: pss, growthMibPerVm: growth, pssMibRestarted: pssRestarted };
  console.log(JSON.stringify({ machine: machine(), ...sizes, ...times, ...memory, idle }));
} else {
  printMachine();
  console.log(
    `${virtualMachines.length} VMs listed, ${RUNNING} of them running (TCG, firmware only)`,
  );
  const virsh = virshList.median + virshStats.median;
  const rows: Row[] = [
    row('list over gRPC, unix socket', list, `p99 ${ms(list.p99)}, bar 25 ms`),
    row('virsh list --all', virshList, `${ratio(list.median, virshList.median)} of it`),
    row('virsh domstats', virshStats, `${ratio(list.median, virsh)} of both`),
    row('novactl vm list, a process', novactlList, `${ratio(novactlList.median, virsh)} of both`),
    row('metrics scrape', scrape, `p99 ${ms(scrape.p99)}, bar 50 ms`),
    ...Object.entries(pss).map(([vms, mib]) => ({
      what: `memory of the agent (PSS) with ${vms} VMs`,
      value: `${mib.toFixed(1)} MiB`,
      note: Number(vms) === VMS ? 'bar 150 MiB' : '',
    })),
    { what: 'growth for each VM', value: `${growth.toFixed(2)} MiB`, note: 'bar 0.5 MiB' },
    {
      what: 'memory after a restart with all VMs',
      value: `${pssRestarted.toFixed(1)} MiB`,
      note: '',
    },
    {
      what: `CPU while idle for ${IDLE_MS / 1000} s`,
      value: `${idle.agentPercent.toFixed(2)} % of a core`,
      note: `bar 1 %; libvirtd ${idle.libvirtPercent.toFixed(2)} % meanwhile`,
    },
    row('start to ready', start, `slowest ${ms(start.max)}, bar 500 ms`),
  ];
  printRows(rows);
}

async function createVms(agent: AgentClient, upTo: number): Promise<void> {
  const { virtualMachines: there } = await agent.vms.list({}, { signal });
  for (let number = there.length; number < upTo; number += 1) {
    const runStrategy = number < RUNNING ? 'Once' : 'Manual';
    const vm = parseVirtualMachine({
      metadata: { name: `vm-${number}`, labels: { bench: 'api' } },
      spec: { runStrategy, template: { spec: IDLE_MACHINE } },
    });
    await agent.vms.create(toVirtualMachineMessage(vm), { signal });
  }
}

/** With nothing asked of it for a while. */
async function settledPss(of: LabNode): Promise<number> {
  await sleep(SETTLE_MS, undefined, { signal });
  return pssMib(agentPids(of));
}

async function measure(rounds: number, work: () => Promise<unknown>): Promise<Spread> {
  await work();
  return spreadOf(await timesMs(rounds, work));
}

/** The page is served on the node's own loopback. */
async function scrapeTimesMs(of: LabNode, rounds: number): Promise<number[]> {
  const script = `
    const times = [];
    for (let round = 0; round <= ${rounds}; round += 1) {
      const start = performance.now();
      const page = await (await fetch('http://127.0.0.1:7480/metrics')).text();
      if (!page.includes('novacron_')) throw new Error(page);
      times.push(performance.now() - start);
    }
    console.log(JSON.stringify(times.slice(1)));`;
  const said = await of.run([process.execPath, '--input-type=module', '-e', script], signal);
  return JSON.parse(said) as number[];
}

async function idleCpu(of: LabNode) {
  const pids = agentPids(of);
  const libvirtd = [of.libvirt.findPid() ?? 0];
  const before = { agent: cpuSeconds(pids), libvirt: cpuSeconds(libvirtd) };
  await sleep(IDLE_MS, undefined, { signal });
  const percent = (seconds: number): number => (seconds / (IDLE_MS / 1000)) * 100;
  return {
    agentPercent: percent(cpuSeconds(pids) - before.agent),
    libvirtPercent: percent(cpuSeconds(libvirtd) - before.libvirt),
  };
}

/** From the command that starts it to its own word that it is ready, asked for every 2 ms. */
async function startTimesMs(of: LabNode, rounds: number): Promise<number[]> {
  const script = `
    console.log('asking');
    for (;;) {
      const answer = await fetch('http://127.0.0.1:7480/readyz').catch(() => undefined);
      if (answer?.status === 200) break;
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    console.log(Date.now());`;
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await of.agent.stop(signal);
    const enter = [`--target=${of.initPid}`, '--net', process.execPath];
    const words = [...enter, '--input-type=module', '-e', script];
    const asker = spawn('nsenter', words, { stdio: ['ignore', 'pipe', 'inherit'], signal });
    let said = '';
    asker.stdout.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    await once(asker.stdout, 'data', { signal });
    const before = Date.now();
    const ended = once(asker, 'close', { signal });
    await of.agent.launch({ source: false }, signal);
    await ended;
    times.push(Number(said.trim().split('\n').at(-1)) - before);
  }
  return times;
}

function row(what: string, spread: Spread, note: string): Row {
  return { what, value: `${ms(spread.median)} (${ms(spread.min)} to ${ms(spread.max)})`, note };
}

function ms(value: number): string {
  return `${value.toFixed(value < 10 ? 2 : 0)} ms`;
}

function ratio(ours: number, peers: number): string {
  return `${(ours / peers).toFixed(3)} ×`;
}
