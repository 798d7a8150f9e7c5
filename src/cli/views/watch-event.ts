import type { VirtualMachine } from '../../client/api.ts';
import type { ResourceEvent } from '../../client/watch.ts';
import type { Document } from '../output/documents.ts';
import { printable } from '../output/table.ts';
import { phaseWord, vmDocument, vmName } from './vm-view.ts';

type VmChange = Exclude<ResourceEvent<VirtualMachine>, { type: 'synced' }>;

/** `09:15:02 modified default/web Running`, and the message if there is one. */
export function watchEventText({ type, object }: VmChange, now: Date): string {
  const vm = vmDocument(object);
  const time = now.toTimeString().slice(0, 8);
  const message = vm.status?.message ?? '';
  const words = [
    time,
    type.padEnd(8),
    vmName(vm),
    type === 'deleted' ? '' : phaseWord(vm),
    message === '' ? '' : `- ${message}`,
  ];
  return `${printable(words.filter((word) => word !== '').join(' '))}\n`;
}

/** As Kubernetes' watches have it. */
export function watchEventDocument({ type, object }: VmChange): Document {
  return { type: type.toUpperCase(), object: vmDocument(object) };
}
