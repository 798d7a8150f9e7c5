import { Lab } from '../lab.ts';
import type { LabNode } from '../node/lab-node.ts';
import { DEFAULT_LAB, planLab } from '../plan/lab-plan.ts';
import { findLabRecord } from '../plan/lab-record.ts';
import type { Verb } from './verb.ts';

export const status: Verb = {
  name: 'status',
  usage: '',
  summary: 'says whether the lab is up and what runs in it',
  async run(_args, signal) {
    if ((await findLabRecord(DEFAULT_LAB)) === undefined) {
      console.log('The lab is down: ./dev up starts it');
      return 1;
    }
    const lab = await Lab.open();
    for (const node of lab.nodes) await describe(node, signal);
    console.log(`Disk images for both nodes: ${planLab(DEFAULT_LAB, []).sharedImages}`);
    return 0;
  },
};

async function describe(node: LabNode, signal: AbortSignal): Promise<void> {
  const agent = await node.agent.tryHttpGet('/readyz', signal);
  const programs = Map.groupBy(node.processes(), ({ command }) => programOf(command));
  const running = [...programs].map(([name, processes]) =>
    processes.length === 1 ? name : `${processes.length} × ${name}`,
  );
  console.log(`Node ${node.name}: ${node.plan.address}, ${node.plan.directory}`);
  console.log(`  agent:    ${agent === undefined ? 'does not answer' : readiness(agent.status)}`);
  console.log(`  libvirt:  ${node.libvirt.findPid() === undefined ? 'does not run' : 'runs'}`);
  console.log(`  programs: ${running.join(', ')}`);
}

function readiness(httpStatus: number): string {
  return httpStatus === 200 ? 'ready' : `not ready (HTTP ${httpStatus})`;
}

function programOf(command: readonly string[]): string {
  return command[0]?.split('/').at(-1) ?? '';
}
