import { AgentClient } from '../../src/client/agent-client.ts';
import type { VirtualMachine } from '../../src/client/api.ts';
import { LabError } from '../core/project.ts';
import type { LabNode } from '../node/lab-node.ts';
import { ConsoleWatcher } from './console-watcher.ts';
import type { DemoGuest } from './demo-guest.ts';

const DEFAULT_MEMORY_BYTES = 512n * 1024n ** 2n;

export interface DemoVmOptions {
  readonly name: string;
  readonly guest: DemoGuest;
  /** `demo.…` parameters of native/guest/demo-guest.c. */
  readonly parameters?: string;
  readonly memoryBytes?: bigint;
  readonly vcpus?: number;
}

/** The API of a node's agent, over its unix socket. */
export async function connectAgent(node: LabNode): Promise<AgentClient> {
  return AgentClient.open({ address: `unix:${node.agent.socket}` });
}

/** Makes and starts a VM that runs the demo guest. */
export async function createDemoVm(
  client: AgentClient,
  options: DemoVmOptions,
  signal: AbortSignal,
): Promise<VirtualMachine> {
  const { name, guest, parameters = '', memoryBytes = DEFAULT_MEMORY_BYTES, vcpus = 1 } = options;
  const kernel = {
    kernelPath: guest.kernelPath,
    initrdPath: guest.initrdPath,
    commandLine: `${guest.commandLine} ${parameters}`.trim(),
  };
  return client.vms.create(
    {
      metadata: { name },
      spec: {
        cpu: { vcpus },
        memory: { sizeBytes: memoryBytes },
        boot: { method: { $case: 'kernel', value: kernel } },
      },
    },
    { signal },
  );
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
