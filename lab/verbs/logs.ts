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

const NODES = ['a', 'b'] as const;
const FOLLOW = ['--follow', '-f'];
const USAGE = '[a|b] [agent|libvirtd|streamer|console] [--follow]';

export const logs: Verb = {
  name: 'logs',
  usage: USAGE,
  summary: 'shows the end of logs; of node a, its agent, if nothing is said',
  async run(args) {
    const known: readonly string[] = [...NODES, ...FOLLOW, ...Object.keys(LOGS)];
    const unknown = args.find((word) => !known.includes(word));
    if (unknown !== undefined) throw new LabError(`There is no ${unknown}: ./dev logs ${USAGE}`);
    const node = NODES.find((name) => args.includes(name)) ?? 'a';
    const kind = args.find((word) => Object.hasOwn(LOGS, word)) ?? 'agent';
    const files = await findLogs(planLab(DEFAULT_LAB, [node]).nodes[0], LOGS[kind] ?? '');
    if (files.length === 0) throw new LabError(`Node ${node} has no ${kind} log`);
    const follow = args.some((word) => FOLLOW.includes(word)) ? ['--follow=name'] : [];
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
