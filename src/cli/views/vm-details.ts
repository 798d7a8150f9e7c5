import { formatAge } from '../output/durations.ts';
import { formatTable } from '../output/table.ts';
import type { VmDocument } from './vm-view.ts';

/** Why a VM is what it is, and its conditions: for people. */
export function vmDetailsText({ status }: VmDocument, nowMs: number): string {
  const { phase = 'Unknown', reason = '', message = '', conditions = [] } = status ?? {};
  const rows = conditions.map((condition) => {
    const since = condition.lastTransitionTime;
    const age = since === undefined ? '' : formatAge(nowMs - Date.parse(since));
    const { type = '', status: holds = 'Unknown' } = condition;
    return [type, holds, age, condition.reason ?? '', condition.message ?? ''];
  });
  const why = [reason, message].filter((part) => part !== '').join(': ');
  const table = formatTable(['CONDITION', 'STATUS', 'SINCE', 'REASON', 'MESSAGE'], rows);
  return `${why === '' ? '' : `\n${phase}: ${why}\n`}\n${table}`;
}
