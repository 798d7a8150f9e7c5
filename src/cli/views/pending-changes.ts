import { formatTable, printable } from '../output/table.ts';
import { valueText } from '../output/values.ts';
import type { VmDocument } from './vm-view.ts';

/** What is not in force yet, as a table below a VM; empty if all is. */
export function pendingChangesText(vm: VmDocument): string {
  const table = pendingTable(vm);
  return table === '' ? '' : `\n${table}`;
}

/** The same without the empty line before it. */
export function pendingTable({ status }: VmDocument): string {
  const changes = status?.pendingChanges ?? [];
  if (changes.length === 0) return '';
  const rows = changes.map(({ field = '', live, wanted, waitsFor, since, message = '' }) => [
    field,
    valueText(live),
    valueText(wanted),
    waitText(waitsFor, since, message),
  ]);
  return formatTable(['FIELD', 'IN FORCE', 'WANTED', 'WAITS FOR'], rows);
}

function waitText(waitsFor: string | undefined, since: string | undefined, why: string): string {
  if (waitsFor === 'guest') {
    const from = since === undefined ? '' : `, since ${since}`;
    return `the guest${from}${why === '' ? '' : `: ${printable(why)}`}`;
  }
  if (waitsFor !== 'agent') return 'the next start';
  return why === '' ? 'the agent' : printable(why);
}
