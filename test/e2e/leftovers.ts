import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import type { LabNode } from '../../lab/node/lab-node.ts';
import type { LabProcess } from '../../lab/plan/lab-processes.ts';
import type { AgentClient } from '../../src/client/agent-client.ts';

/** What is left of migrations on a node: transfers, their programs, and what its agent says. */
export async function leftoversOf(
  node: LabNode,
  client: AgentClient,
  signal: AbortSignal,
): Promise<string[]> {
  const folder = node.outside('run/novacron/transfers');
  const transfers = existsSync(folder) ? await readdir(folder) : [];
  return [
    ...transfers.map((id) => `transfer ${id}`),
    ...streamersOf(node).map(({ pid }) => `streamer ${pid}`),
    ...(await activeMigrations(node, client, signal)),
  ];
}

export function streamersOf(node: LabNode): LabProcess[] {
  return node
    .processes()
    .filter(({ command }) => command.some((part) => part.includes('/run/novacron/transfers/')));
}

/** An agent that does not answer has not said that nothing is left. */
async function activeMigrations(
  node: LabNode,
  client: AgentClient,
  signal: AbortSignal,
): Promise<string[]> {
  try {
    const { migrations } = await client.migrations.list({ activeOnly: true }, { signal });
    return migrations.map(
      ({ id, status }) => `migration ${id} ${status?.phase} ${status?.message}`,
    );
  } catch (error) {
    signal.throwIfAborted();
    return [`agent ${node.name} does not say: ${String(error)}`];
  }
}
