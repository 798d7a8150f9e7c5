import type { PlanMigrationResponse } from '../../client/api.ts';
import { AgentError, isReason } from '../../core/errors.ts';
import { hintFor } from '../errors/hints.ts';
import { type Document, withoutEmpty } from '../output/documents.ts';
import { formatBytes } from '../output/quantities.ts';
import { printable } from '../output/table.ts';

/** What stands in the way of a migration and what to do about each, for people. */
export function planText(vm: string, node: string, plan: PlanMigrationResponse): string {
  const { blockers } = plan;
  if (blockers.length === 0) {
    return `VM ${vm} can be migrated to node ${node}: ${formatBytes(plan.memoryBytes)} of memory, transport ${plan.transport}\n`;
  }
  const count = blockers.length === 1 ? 'One thing stands' : `${blockers.length} things stand`;
  const items = blockers.map(({ reason, message, nodeName, subject }) => {
    const about = subject === '' ? '' : ` [${subject}]`;
    const hint = hintOf(reason);
    const advice = hint === undefined ? '' : `\n    What to do: ${hint}`;
    return `  ${printable(`${nodeName}: ${message} (${reason})${about}`)}${advice}\n`;
  });
  return `VM ${vm} cannot be migrated to node ${node}. ${count} in the way:\n${items.join('')}`;
}

function hintOf(reason: string): string | undefined {
  return isReason(reason) ? hintFor(new AgentError(reason, '')) : undefined;
}

export function planDocument(plan: PlanMigrationResponse): Document {
  return {
    possible: plan.blockers.length === 0,
    ...withoutEmpty({ transport: plan.transport, memoryBytes: plan.memoryBytes }),
    blockers: plan.blockers.map((blocker) => withoutEmpty({ ...blocker })),
  };
}
