import type { VmWatchEvent } from '../../client/watch-virtual-machines.ts';
import type { Document } from '../output/documents.ts';
import { printable } from '../output/table.ts';
import { phaseWord, vmDocument, vmName } from './vm-view.ts';

export type VmChange = Exclude<VmWatchEvent, { type: 'synced' }>;

/** `09:15:02 modified default/web Running`, and the message if there is one. */
export function watchEventText({ type, vm }: VmChange, now: Date): string {
  const time = now.toTimeString().slice(0, 8);
  const message = vm.status?.message ?? '';
  const words = [
    time,
    type.padEnd(8),
    vmName(vm),
    type === 'deleted' ? '' : phaseWord(vm.status?.phase ?? 0),
    message === '' ? '' : `- ${message}`,
  ];
  return `${printable(words.filter((word) => word !== '').join(' '))}\n`;
}

/** As Kubernetes' watches have it. */
export function watchEventDocument({ type, vm }: VmChange): Document {
  return { type: type.toUpperCase(), object: vmDocument(vm) };
}
