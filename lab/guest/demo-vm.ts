import { AgentClient } from '../../src/client/agent-client.ts';
import type { VirtualMachine } from '../../src/client/api.ts';
import { required } from '../../src/client/required.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { LabError } from '../core/project.ts';
import type { LabNode } from '../node/lab-node.ts';
import { ConsoleWatcher } from './console-watcher.ts';
import { DEMO_DISK_SIZE, type DemoDisk } from './demo-disk.ts';
import type { DemoGuest } from './demo-guest.ts';

export interface DemoVmOptions {
  readonly name: string;
  readonly guest: DemoGuest;
  /** `demo.…` parameters of native/guest/demo-guest.c. */
  readonly parameters?: string;
  /** As a manifest writes it; 512Mi if left out. */
  readonly memory?: string;
  /** On storage that all nodes have; the guest writes to it. None if left out. */
  readonly disk?: DemoDisk;
  /** The host's cache mode of the disk; none if left out. */
  readonly cache?: 'none' | 'writeback';
}

/** The API of a node's agent, over its unix socket. */
export async function connectAgent(node: LabNode): Promise<AgentClient> {
  return AgentClient.open({ address: `unix:${node.agent.socket}` });
}

/** Makes and starts a VM that runs the demo guest. It stays off once it has been shut down. */
export async function createDemoVm(
  client: AgentClient,
  options: DemoVmOptions,
  signal: AbortSignal,
): Promise<VirtualMachine> {
  const { name, guest, parameters = '', memory = '512Mi', disk, cache } = options;
  const words = [guest.commandLine, parameters, disk && `demo.disk=${DEMO_DISK_SIZE}`];
  const kernel = {
    path: guest.kernelPath,
    initrd: guest.initrdPath,
    commandLine: words.filter((word) => word !== undefined && word !== '').join(' '),
  };
  const source = { file: { path: disk?.path } };
  const root = { name: 'root', format: 'qcow2', shared: true, source, cache };
  const volumes = disk === undefined ? {} : { volumes: [root] };
  const machine = { resources: { cpu: 1, memory }, kernel, ...volumes };
  const vm = parseVirtualMachine({
    metadata: { name },
    spec: { runStrategy: 'Once', template: { spec: machine } },
  });
  const { virtualMachine } = await client.vms.create(toVirtualMachineMessage(vm), { signal });
  return required(virtualMachine, 'VM');
}

/** Where a node keeps the console log of a VM that is there, as a path inside of nodes: the same on all. */
export async function findConsoleLog(
  node: LabNode,
  uid: string,
  signal: AbortSignal,
): Promise<string> {
  const xml = await node.libvirt.virsh(['dumpxml', uid], signal);
  const file = /<log file='([^']+)'/.exec(xml)?.[1];
  if (file === undefined) throw new LabError(`VM ${uid} on node ${node.name} has no console log`);
  return file;
}

/** Watches a VM's console log on a node, from now on; the VM need not be there yet. */
export function watchConsole(node: LabNode, log: string): ConsoleWatcher {
  return new ConsoleWatcher(node.outside(log));
}
