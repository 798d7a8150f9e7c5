import { formatTable } from '../output/table.ts';
import type { VmDocument } from './vm-view.ts';

/** The network interfaces of a VM, as a table below it; empty if it has none. */
export function vmInterfacesText({ status }: VmDocument): string {
  const rows = (status?.interfaces ?? []).map(
    ({ name = '', mac = '', bridge = '', model = '', hostDevice = '' }) => [
      name,
      mac,
      bridge,
      model,
      hostDevice,
    ],
  );
  if (rows.length === 0) return '';
  return `\n${formatTable(['INTERFACE', 'MAC', 'BRIDGE', 'MODEL', 'ON THE NODE'], rows)}`;
}
