import type { Migration } from '../../client/api.ts';
import type { AgentError } from '../../core/errors.ts';
import { type Document, withoutEmpty } from '../output/documents.ts';
import type { ResourceView } from '../output/resource-view.ts';
import { migrationPhaseWord, migrationView } from './migration-view.ts';
import { phaseWord, type VmDocument, vmName } from './vm-view.ts';

/** What became of one of the VMs that were all to be moved. */
export interface Move {
  readonly vm: VmDocument;
  /** `goes-on` and `begun` are not waited for any longer, `may-go-on` has perhaps begun. */
  readonly outcome:
    | 'moved'
    | 'failed'
    | 'refused'
    | 'stays'
    | 'begun'
    | 'goes-on'
    | 'may-go-on'
    | 'not-tried';
  readonly migrationId?: string;
  /** As it was seen last. */
  readonly migration?: Migration | undefined;
  /** Why it was refused. */
  readonly error?: AgentError;
  /** Why it stays. */
  readonly why?: string;
}

/** Why nobody tries to move a VM; one that is off stands in nobody's way. Whoever trusts some volumes may mean one of its. */
export function whyItStays(
  vm: VmDocument,
  { trustShared = [] }: { readonly trustShared?: readonly string[] | undefined } = {},
): string | undefined {
  const condition = vm.status?.conditions?.find(({ type }) => type === 'LiveMigratable');
  switch (phaseWord(vm)) {
    case 'Stopped':
    case 'Failed':
      return OFF;
    case 'Pending':
      return 'it is being made';
    case 'Migrating':
      return `it is being moved by migration ${vm.status?.migration?.id ?? ''}`.trim();
    case 'Unknown':
      return 'nobody knows whether it runs';
    default:
      if (condition?.reason === 'DiskNotIdentified' && trustShared.length > 0) return undefined;
      return condition?.status === 'False'
        ? `${condition.reason}: ${condition.message}`
        : undefined;
  }
}

const OFF = 'it is off';

export function isOffMove({ why }: Move): boolean {
  return why === OFF;
}

export function moveView(nowMs: number): ResourceView<Move> {
  const ofMigration = (header: string) => {
    const column = migrationView(nowMs).columns.find((candidate) => candidate.header === header);
    return ({ migration }: Move) =>
      migration === undefined ? '' : (column?.value(migration) ?? '');
  };
  return {
    columns: [
      { header: 'VM', value: ({ vm }) => vmName(vm) },
      { header: 'OUTCOME', value: ({ outcome }) => outcome },
      { header: 'MIGRATION', value: ({ migrationId = '' }) => migrationId },
      { header: 'TOOK', value: ofMigration('TOOK') },
      { header: 'DOWNTIME', value: ofMigration('DOWNTIME') },
      { header: 'WHY', value: whyOf },
    ],
    document: moveDocument,
    name: ({ vm }) => vmName(vm),
  };
}

function whyOf({ why = '', error, outcome, migration }: Move): string {
  if (error !== undefined) return `${error.message} (${error.reason})`;
  const { message = '', reason = '', phase = 0 } = migration?.status ?? {};
  if (outcome !== 'failed') return why;
  return [message || migrationPhaseWord(phase), reason && `(${reason})`].filter(Boolean).join(' ');
}

function moveDocument({ vm, outcome, migrationId, migration, error, why }: Move): Document {
  return withoutEmpty({
    vm: vmName(vm),
    outcome,
    why,
    error: error && { reason: error.reason, message: error.message },
    migrationId,
    migration: migration && migrationView(0).document(migration),
  });
}
