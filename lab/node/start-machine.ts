import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { inProject, LabError } from '../core/project.ts';
import type { NodePlan } from '../plan/lab-plan.ts';
import { environmentOf, tail } from './lab-machine.ts';

/** Makes a node's namespaces and folders; nothing runs in it yet. */
export async function startMachine(
  lab: string,
  plan: NodePlan,
  hosts: string,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(path.join(plan.directory, 'log'), { recursive: true });
  await writeFile(path.join(plan.directory, 'hosts'), hosts);
  await writeFile(path.join(plan.directory, 'host-uuid'), randomUUID());
  signal.throwIfAborted();
  const logPath = path.join(plan.directory, 'log/init.log');
  const log = openSync(logPath, 'a');
  const namespaces = [
    '--net',
    '--mount',
    '--uts',
    '--pid',
    '--fork',
    '--kill-child',
    '--mount-proc',
  ];
  const init = ['sh', inProject('lab/node/node-init.sh'), plan.hostname, plan.directory];
  const child = spawn('unshare', [...namespaces, ...init], {
    cwd: '/',
    detached: true,
    env: environmentOf(lab, plan),
    stdio: ['ignore', log, log, 'pipe'],
  });
  closeSync(log);
  await readyOf(child, logPath);
}

/** Resolves once the node's first process says that it is ready. */
async function readyOf(child: ChildProcess, logPath: string): Promise<void> {
  const channel = child.stdio[3];
  const said = await new Promise<boolean>((resolve) => {
    channel?.once('data', () => {
      resolve(true);
    });
    channel?.once('close', () => {
      resolve(false);
    });
    child.once('error', () => {
      resolve(false);
    });
  });
  channel?.destroy();
  child.unref();
  if (!said) throw new LabError(`Cannot make a lab node:\n${tail(logPath)}`);
}
