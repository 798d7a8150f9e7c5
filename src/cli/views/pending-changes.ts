import { formatTable } from '../output/table.ts';
import { valueText } from '../output/values.ts';
import type { VmDocument } from './vm-view.ts';

/** What waits for the next start, as a table below a VM; empty if nothing does. */
export function pendingChangesText({ status }: VmDocument): string {
  const rows = (status?.pendingChanges ?? []).map(({ field = '', live, wanted }) => [
    field,
    valueText(live),
    valueText(wanted),
  ]);
  if (rows.length === 0) return '';
  return `\n${formatTable(['FIELD', 'IN FORCE', 'AFTER THE NEXT START'], rows)}`;
}
