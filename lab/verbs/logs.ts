import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { glob } from 'node:fs/promises';
import path from 'node:path';
import { LabError } from '../core/project.ts';
import { DEFAULT_LAB, type NodePlan, planLab } from '../plan/lab-plan.ts';
import type { Verb } from './verb.ts';

const LOGS: Readonly<Record<string, string>> = {
  agent: 'log/agent.log',
  libvirtd: 'log/libvirtd.log',
  streamer: '{run,state}/**/*streamer*.log',
  console: 'var/log/libvirt/qemu/*.log*',
};

export const logs: Verb = {
  name: 'logs',
  usage: '[a|b] [agent|libvirtd|streamer|console] [--follow]',
  summary: 'shows the end of logs; of node a, its agent, if nothing is said',
  async run(args) {
    const names = args.filter((argument) => !argument.startsWith('-'));
    const node = names.find((name) => name === 'a' || name === 'b') ?? 'a';
    const kind = names.find((name) => name in LOGS) ?? 'agent';
    const files = await findLogs(planLab(DEFAULT_LAB, [node]).nodes[0], LOGS[kind] ?? '');
    if (files.length === 0) throw new LabError(`Node ${node} has no ${kind} log`);
    const follow = args.includes('--follow') || args.includes('-f') ? ['--follow=name'] : [];
    const tail = spawn('tail', ['--lines=100', ...follow, ...files], { stdio: 'inherit' });
    return new Promise((resolve) => {
      tail.on('close', (code) => {
        resolve(code ?? 0);
      });
    });
  },
};

async function findLogs(node: NodePlan | undefined, pattern: string): Promise<string[]> {
  if (node === undefined || !existsSync(node.directory)) return [];
  const found = await Array.fromAsync(glob(pattern, { cwd: node.directory }));
  return found.toSorted().map((file) => path.join(node.directory, file));
}
