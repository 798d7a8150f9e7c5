import { MigrationImageVerdict, type PlanMigrationResponse } from '../../client/api.ts';
import { AgentError, isReason } from '../../core/errors.ts';
import { hintFor } from '../errors/hints.ts';
import { type Document, enumWord, withoutEmpty } from '../output/documents.ts';
import { formatBytes } from '../output/quantities.ts';
import { printable } from '../output/table.ts';

const { MIGRATION_IMAGE_VERDICT_SAME, MIGRATION_IMAGE_VERDICT_TRUSTED } = MigrationImageVerdict;

/** Of a migration that nothing stands in the way of. */
const WORDS: Readonly<Record<number, string>> = {
  [MIGRATION_IMAGE_VERDICT_SAME]: 'the same on both nodes',
  [MIGRATION_IMAGE_VERDICT_TRUSTED]: 'taken to be the same by your word',
};

/** What stands in the way of a migration and what to do about each, for people. */
export function planText(vm: string, node: string, plan: PlanMigrationResponse): string {
  const { blockers } = plan;
  if (blockers.length === 0) {
    const disks = plan.images.map(({ volume, path, verdict, message }) => {
      return `  ${printable(`volume ${volume}, ${path}: ${WORDS[verdict] ?? 'unknown'}; ${message}`)}\n`;
    });
    return `VM ${vm} can be migrated to node ${node}: ${formatBytes(plan.memoryBytes)} of memory, transport ${plan.transport}\n${disks.join('')}`;
  }
  const count = blockers.length === 1 ? 'One thing stands' : `${blockers.length} things stand`;
  const items = blockers.map(({ reason, message, nodeName, subject }) => {
    const about = subject === '' ? '' : ` [${subject}]`;
    const hint = hintOf(reason, nodeName);
    const advice = hint === undefined ? '' : `\n    What to do: ${hint}`;
    return `  ${printable(`${nodeName}: ${message} (${reason})${about}`)}${advice}\n`;
  });
  return `VM ${vm} cannot be migrated to node ${node}. ${count} in the way:\n${items.join('')}`;
}

/** A blocker says the way on by itself; the hint to look at the plan would lead back to it. */
function hintOf(reason: string, node: string): string | undefined {
  if (reason === 'MIGRATION_BLOCKED') return undefined;
  return isReason(reason) ? hintFor(new AgentError(reason, '', { metadata: { node } })) : undefined;
}

export function planDocument(plan: PlanMigrationResponse): Document {
  return {
    possible: plan.blockers.length === 0,
    ...withoutEmpty({ transport: plan.transport, memoryBytes: plan.memoryBytes }),
    blockers: plan.blockers.map((blocker) => withoutEmpty({ ...blocker })),
    images: plan.images.map((image) =>
      withoutEmpty({
        ...image,
        verdict: enumWord(MigrationImageVerdict, 'MIGRATION_IMAGE_VERDICT', image.verdict),
      }),
    ),
  };
}
