import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { stringify } from 'yaml';
import type { LabPlan } from '../plan/lab-plan.ts';
import type { Certificates, ClientRole } from './certificates.ts';
import type { LabNode } from './lab-node.ts';

const ROLES: readonly ClientRole[] = ['controller', 'operator', 'viewer'];

export function contextsFile(plan: LabPlan): string {
  return path.join(plan.directory, 'novactl.yaml');
}

/**
 * For novactl inside the lab: `a` and `b` are the agents' unix sockets, `a-operator` and the like are their
 * TCP ports, with the certificate of that role.
 */
export async function writeContexts(
  plan: LabPlan,
  nodes: readonly LabNode[],
  certificates: Certificates,
  signal: AbortSignal,
): Promise<void> {
  const contexts: Record<string, unknown> = {};
  for (const { name, agent } of nodes) {
    contexts[name] = { address: `unix:${agent.socket}` };
    for (const role of ROLES) {
      const tls = await certificates.client(role, signal);
      contexts[`${name}-${role}`] = { address: agent.advertise, nodeName: name, tls };
    }
  }
  const current = nodes[0]?.name;
  await writeFile(contextsFile(plan), stringify({ contexts, current }));
}
