import type { VmDefinition } from '../../core/vm-definition.ts';

/** What a VM's name is locked by while it is given away. */
export function nameKey({ namespace, name }: VmDefinition): string {
  return `${namespace}/${name}`;
}
