import type { Command } from 'commander';
import { AgentError, type Reason } from '../../../core/errors.ts';
import { errorReport } from '../../errors/error-report.ts';
import type { ChangeOptions } from '../../input/change-options.ts';
import type { ManifestPart } from '../../input/manifest-files.ts';
import type { Document } from '../../output/documents.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { Exit, exitCodeOf, Interrupted } from '../../process/exit-codes.ts';

/** What became of one manifest: its result, or why there is none; neither if it was not tried. */
export interface ManifestEnd<R> {
  readonly where: string;
  readonly result?: R;
  readonly error?: AgentError | Interrupted;
}

/** These are about the agent or the caller, not about one manifest: the next one would fare no better. */
const ENDS_ALL: readonly Reason[] = [
  'AGENT_UNREACHABLE',
  'PERMISSION_DENIED',
  'SHUTTING_DOWN',
  'UNAUTHENTICATED',
];

/** Refuses an operation's id that is given for several manifests. */
export function assertOneOperation(
  command: Command,
  { operationId }: Pick<ChangeOptions, 'operationId'>,
  parts: readonly unknown[],
): void {
  if (operationId === undefined || parts.length <= 1) return;
  command.error(
    `error: --operation-id is that of one operation, but ${parts.length} manifests are given`,
  );
}

/** Does the same with every manifest, one after the other. One that fails is told of and does not stop the others. */
export async function runManifests<T, R>(
  io: CliIo,
  parts: readonly ManifestPart<T>[],
  work: (value: T) => Promise<R>,
): Promise<readonly ManifestEnd<R>[]> {
  const ends: ManifestEnd<R>[] = [];
  let isOver = false;
  for (const part of parts) {
    const { where } = part;
    if (isOver) {
      ends.push({ where });
      continue;
    }
    try {
      if ('error' in part) throw part.error;
      ends.push({ where, result: await work(part.value) });
    } catch (error) {
      if (!(error instanceof AgentError || error instanceof Interrupted)) throw error;
      io.stderr.write(
        error instanceof Interrupted ? `${where}: ${error.message}\n` : errorReport(error, where),
      );
      ends.push({ where, error });
      isOver = error instanceof Interrupted || ENDS_ALL.includes(error.reason);
    }
  }
  return ends;
}

/** Says what was done and what not where there is more than one, and ends with the code of the first failure. */
export function endManifestRun<R extends { readonly outcome: string }>(
  io: CliIo,
  ends: readonly ManifestEnd<R>[],
  { dryRun = false }: { readonly dryRun?: boolean | undefined } = {},
): void {
  if (ends.length > 1) io.stderr.write(summary(ends, dryRun ? 'Would be done' : 'Done'));
  const first = ends.find(({ error }) => error !== undefined);
  if (first !== undefined) throw new Exit(exitCodeOf(first.error));
}

function summary(ends: readonly ManifestEnd<{ readonly outcome: string }>[], word: string): string {
  const counts = new Map<string, number>();
  for (const { result } of ends) {
    if (result !== undefined) counts.set(result.outcome, (counts.get(result.outcome) ?? 0) + 1);
  }
  const done = [...counts].map(([outcome, count]) => `${count} ${outcome}`).join(', ');
  const undone = ends.filter(({ result }) => result === undefined);
  const lines = [`${word}: ${done || 'nothing'}`];
  if (undone.length > 0) lines.push(`Not done: ${undone.length}`);
  for (const end of undone) lines.push(`  ${end.where}: ${whyNot(end)}`);
  return lines.map((line) => `${line}\n`).join('');
}

function whyNot({ error }: ManifestEnd<unknown>): string {
  if (error === undefined) return 'not tried';
  return error instanceof AgentError ? error.reason : 'interrupted';
}

/** A manifest without a result, for programs. */
export function undoneDocument({ where, error }: ManifestEnd<unknown>): Document {
  if (!(error instanceof AgentError)) {
    return { where, outcome: error === undefined ? 'not-tried' : 'interrupted' };
  }
  const { reason, message, violations } = error;
  return { where, outcome: 'failed', error: { reason, message, fields: violations } };
}
