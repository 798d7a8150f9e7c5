import { copyFile, readFile } from 'node:fs/promises';
import path from 'node:path';
import { connectAgent } from '../../lab/guest/demo-vm.ts';
import { Lab } from '../../lab/lab.ts';
import type { Credentials } from '../../lab/node/certificates.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import type { AgentClient } from '../../src/client/agent-client.ts';
import type { VirtualMachine } from '../../src/client/api.ts';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import { parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import { type AgentProcess, agentProcesses } from './process-costs.ts';

// With what QEMU needs for itself each running VM counts 88Mi of the node's memory, so ten take 880Mi of it.
const MEMORY = '16Mi';
const MADE_AT_ONCE = 8;
const IMAGE = '/run/nothing.raw';
/** Its firmware finds nothing to boot, and then idles. All VMs may read the same empty CD-ROM. */
const IDLE_MACHINE = {
  resources: { cpu: 1, memory: MEMORY },
  volumes: [{ name: 'none', kind: 'cdrom', format: 'raw', source: { file: { path: IMAGE } } }],
};

/** When the agent's program was executed, in seconds since 1970: noted by the shell that then becomes it. */
const STARTED_FILE = 'run/agent-started';
const NOTE_START = `echo $EPOCHREALTIME >/${STARTED_FILE}; exec "$@"`;

/**
 * A node of its own with an agent, for VMs that do nothing. The agent runs in a copy of Node, as otherwise it would share that
 * program's pages with all that measures it, and seem smaller than it is where nothing else runs in Node.
 */
export class VmNode implements AsyncDisposable {
  readonly machine: LabNode;
  readonly client: AgentClient;
  readonly #lab: Lab;
  readonly #runner: readonly string[];

  private constructor(lab: Lab, runner: readonly string[], client: AgentClient) {
    this.#lab = lab;
    this.machine = lab.node('a');
    this.#runner = runner;
    this.client = client;
  }

  static async start(signal: AbortSignal): Promise<VmNode> {
    await using undo = new AsyncDisposableStack();
    const lab = undo.use(await Lab.create({ nodes: ['a'] }, signal));
    const machine = lab.node('a');
    await machine.run(['truncate', '--size=1M', IMAGE], signal);
    const node = path.join(lab.plan.storage, 'node');
    await copyFile(process.execPath, node);
    const runner = ['bash', '-c', NOTE_START, 'agent', node];
    await lab.startAgents({ accelerator: 'tcg', runner }, signal);
    const vmNode = new VmNode(lab, runner, await connectAgent(machine));
    undo.move();
    return vmNode;
  }

  get address(): string {
    return `unix:${this.machine.agent.socket}`;
  }

  processes(): AgentProcess[] {
    return agentProcesses(this.machine.processes());
  }

  /** Defines VMs until there are so many. The first `running` of all are started. */
  async makeVms(
    upTo: number,
    running: number,
    signal: AbortSignal,
    userDataBytes = 0,
  ): Promise<void> {
    const { virtualMachines: there } = await this.client.vms.list({}, { signal });
    let next = there.length;
    const makeOne = async (): Promise<void> => {
      while (next < upTo) {
        const number = next++;
        const strategy = number < running ? 'Once' : 'Manual';
        const vm = idleVm(`vm-${number}`, strategy, {}, userDataBytes);
        await this.client.vms.create(vm, { signal });
      }
    };
    await Promise.all(Array.from({ length: MADE_AT_ONCE }, makeOne));
  }

  /** Changes a VM that does not run. */
  async annotate(name: string, word: string, signal: AbortSignal): Promise<void> {
    await this.client.vms.apply(idleVm(name, 'Manual', { word }), { signal });
  }

  /** Of a controller, for calls over TLS. */
  async clientFiles(signal: AbortSignal): Promise<Credentials> {
    return (await this.#lab.certificates(signal)).client('controller', signal);
  }

  /** Makes VMs and deletes them, lists them meanwhile: an agent that has done so before grows by what VMs cost alone. */
  async warmUp(signal: AbortSignal): Promise<void> {
    await this.makeVms(20, 1, signal);
    for (let round = 0; round < 50; round += 1) await this.client.vms.list({}, { signal });
    const { virtualMachines } = await this.client.vms.list({}, { signal });
    for (const { metadata } of virtualMachines) {
      await this.client.vms.delete({ name: metadata?.name ?? '' }, { force: true, signal });
    }
  }

  async launchAgent(signal: AbortSignal): Promise<void> {
    await this.machine.agent.launch({ source: false, runner: this.#runner }, signal);
  }

  /** When its program was executed last, in milliseconds since 1970. */
  async startedAtMs(): Promise<number> {
    return Number(await readFile(this.machine.outside(STARTED_FILE), 'latin1')) * 1_000;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client[Symbol.dispose]();
    await this.#lab[Symbol.asyncDispose]();
  }
}

/** Another one for each VM. */
function userDataOf(name: string, bytes: number): string {
  return `#cloud-config\n# ${name}\n`.padEnd(bytes, '# what a guest is told at its first boot\n');
}

function idleVm(
  name: string,
  runStrategy: 'Once' | 'Manual',
  annotations: Readonly<Record<string, string>>,
  userDataBytes = 0,
): VirtualMachine {
  const metadata = { name, labels: { bench: 'vms' }, annotations };
  const userData = userDataBytes > 0 ? { userData: userDataOf(name, userDataBytes) } : {};
  const spec = { runStrategy, template: { spec: { ...IDLE_MACHINE, ...userData } } };
  return toVirtualMachineMessage(parseVirtualMachine({ metadata, spec }));
}
