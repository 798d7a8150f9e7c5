import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildAgent } from '../lab/builds/build-outputs.ts';
import { run } from '../lab/core/run-command.ts';
import { waitUntil } from '../lab/core/wait-until.ts';
import { toVirtualMachineMessage } from '../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../src/core/resources/parse-virtual-machine.ts';
import { interruption } from './measure/interruption.ts';
import { machine, printMachine, printRows, say } from './measure/results.ts';
import { spreadOf } from './measure/spread.ts';
import { VmNode } from './measure/vm-node.ts';

/*
 * Images of a real agent: one that comes from a server on the same node, beside curl alone, and VMs from one that is there, beside
 * those that need none.
 */

const { values: options } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    mib: { type: 'string', default: '512' },
    rounds: { type: 'string', default: '5' },
  },
});
const MIB = Number(options.mib);
const ROUNDS = Number(options.rounds);
const CREATIONS = 20;
const PORT = 8091;
const URL_OF_IMAGE = `http://127.0.0.1:${PORT}/disk.qcow2`;
const DISKLESS = {
  resources: { cpu: 1, memory: '16Mi' },
  volumes: [{ name: 'none', kind: 'cdrom' }],
};
const FROM_IMAGE = { resources: { cpu: 1, memory: '16Mi' }, image: { source: URL_OF_IMAGE } };

const signal = interruption();
await buildAgent(signal);
await using node = await VmNode.start(signal);
const folder = node.machine.outside('run/published');
await publish();

say(`Fetching ${MIB} MiB, ${ROUNDS} times each way`);
const pulls: { readonly curl: number; readonly pull: number }[] = [];
for (let round = 0; round <= ROUNDS; round += 1) {
  const curl = await timeOf(curlAlone);
  const pull = await timeOf(pullOnce);
  if (round > 0) pulls.push({ curl, pull });
  if (round < ROUNDS) await removeImages();
}
say(`Making ${CREATIONS} VMs from it, and as many without`);
const creations: { readonly image: number; readonly diskless: number }[] = [];
for (let round = 0; round <= CREATIONS; round += 1) {
  const image = await creationTime(FROM_IMAGE);
  const diskless = await creationTime(DISKLESS);
  if (round > 0) creations.push({ image, diskless });
}

const curl = spreadOf(pulls.map((each) => each.curl));
const pull = spreadOf(pulls.map((each) => each.pull));
const excess = spreadOf(creations.map((each) => each.image - each.diskless));
const result = {
  mib: MIB,
  curlMs: curl.median,
  pullMs: pull.median,
  speedRatio: curl.median / pull.median,
  createFromImageMs: spreadOf(creations.map((each) => each.image)).median,
  createDisklessMs: spreadOf(creations.map((each) => each.diskless)).median,
  createExcessMs: excess.median,
  machine: machine(),
};
if (options.json) {
  process.stdout.write(`${JSON.stringify(result)}\n`);
} else {
  printMachine();
  printRows([
    { what: `curl, ${MIB} MiB`, value: ms(result.curlMs), note: 'not yet on the disk' },
    { what: 'novactl image pull', value: ms(result.pullMs), note: 'on the disk, and checked' },
    { what: 'speed', value: result.speedRatio.toFixed(2), note: 'of curl; bar 0.9' },
    { what: 'create from it', value: ms(result.createFromImageMs), note: '' },
    { what: 'create without a disk', value: ms(result.createDisklessMs), note: '' },
    { what: 'more, round by round', value: ms(result.createExcessMs), note: 'bar 100 ms' },
  ]);
}

/** A qcow2 that is full, so that there is as much to be fetched as there is of it. */
async function publish(): Promise<void> {
  await run(['mkdir', '-p', folder], {}, signal);
  const [raw, image] = ['disk.raw', 'disk.qcow2'].map((name) => path.join(folder, name));
  const bytes = `bs=1M count=${MIB} iflag=fullblock status=none`;
  await run(['sh', '-c', `dd if=/dev/urandom of=${raw} ${bytes}`], {}, signal);
  await run(['qemu-img', 'convert', '-O', 'qcow2', raw ?? '', image ?? ''], {}, signal);
  await rm(raw ?? '');
  const words = ['-m', 'http.server', String(PORT), '--bind', '127.0.0.1'];
  const server = ['python3', ...words, '--directory', '/run/published'];
  await node.machine.startDaemon('server', server, {}, signal);
  const answers = async () =>
    (await node.machine.tryRun(['curl', '-sI', URL_OF_IMAGE], signal)).code === 0;
  await waitUntil('the server to answer', 30_000, answers, signal);
}

async function curlAlone(): Promise<void> {
  const to = '/run/published/by-curl';
  await node.machine.run(['curl', '-s', '-o', to, URL_OF_IMAGE], signal);
  await rm(path.join(folder, 'by-curl'));
}

async function pullOnce(): Promise<void> {
  const request = { source: URL_OF_IMAGE, raw: false, always: false, pullId: randomUUID() };
  for (;;) {
    const { image } = await node.client.images.pull(request, { signal });
    if (image !== undefined) return;
  }
}

async function removeImages(): Promise<void> {
  for (const { digest } of await node.client.images.list({ signal })) {
    await node.client.images.remove(digest, { signal });
  }
}

async function timeOf(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

async function creationTime(machineSpec: object): Promise<number> {
  const spec = { runStrategy: 'Once', template: { spec: machineSpec } };
  const metadata = { name: 'made' };
  const vm = toVirtualMachineMessage(parseVirtualMachine({ metadata, spec }));
  const took = await timeOf(async () => {
    await node.client.vms.create(vm, { signal });
  });
  await node.client.vms.delete({ name: 'made' }, { force: true, deleteDisks: true, signal });
  return took;
}

function ms(value: number): string {
  return `${Math.round(value)} ms`;
}
