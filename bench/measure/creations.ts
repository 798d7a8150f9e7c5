import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { type Spread, spreadOf } from './spread.ts';
import type { VmNode } from './vm-node.ts';

/** How long the same VM takes to run, made by the agent and by `virsh create`, one after the other. */
export interface Creations {
  readonly agent: Spread;
  readonly virsh: Spread;
  /** By how much the agent takes longer, round by round, in milliseconds. */
  readonly excess: Spread;
}

const NAME = 'made';
const FILE = 'run/made.xml';
/** Firmware alone: what looking at files takes is not the hypervisor's. */
const DISKLESS = {
  resources: { cpu: 1, memory: '16Mi' },
  volumes: [{ name: 'none', kind: 'cdrom' }],
};

export async function creationTimes(
  node: VmNode,
  rounds: number,
  signal: AbortSignal,
): Promise<Creations> {
  const times: { readonly agent: number; readonly virsh: number }[] = [];
  // The first one, which reads what is needed for all, is not counted.
  for (let round = 0; round <= rounds; round += 1) {
    const agent = await agentTime(node, signal);
    const virsh = await virshTime(node, signal);
    await node.client.vms.delete({ name: NAME }, { force: true, signal });
    if (round > 0) times.push({ agent, virsh });
  }
  return {
    agent: spreadOf(times.map(({ agent }) => agent)),
    virsh: spreadOf(times.map(({ virsh }) => virsh)),
    excess: spreadOf(times.map(({ agent, virsh }) => agent - virsh)),
  };
}

/** Of a call that answers once the VM runs. */
async function agentTime({ client }: VmNode, signal: AbortSignal): Promise<number> {
  const spec = { runStrategy: 'Once', template: { spec: DISKLESS } };
  const vm = toVirtualMachineMessage(parseVirtualMachine({ metadata: { name: NAME }, spec }));
  const start = performance.now();
  await client.vms.create(vm, { signal });
  return performance.now() - start;
}

/** Of the whole process, on the same libvirt, with what libvirt has of the agent's VM. */
async function virshTime({ machine }: VmNode, signal: AbortSignal): Promise<number> {
  const virsh = (...words: readonly string[]) =>
    machine.run(['virsh', '-c', machine.libvirt.uri, ...words], signal);
  const xml = await virsh('dumpxml', '--inactive', `default_${NAME}`);
  const uuid = randomUUID();
  const copy = xml
    .replace(/<name>.*?<\/name>/, `<name>${uuid}</name>`)
    .replace(/<uuid>.*?<\/uuid>/, `<uuid>${uuid}</uuid>`)
    .replace(/<metadata>.*?<\/metadata>/s, '')
    .replaceAll(/<log file='[^']*'/g, `<log file='/var/log/libvirt/qemu/${uuid}-console.log'`);
  await writeFile(machine.outside(FILE), copy);
  const start = performance.now();
  await virsh('create', `/${FILE}`);
  const took = performance.now() - start;
  await virsh('destroy', uuid);
  return took;
}
