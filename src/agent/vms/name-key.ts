import type { VmDefinition } from '../../core/vm-definition.ts';

/** A VM by its name: what it is sorted by in lists, and locked by while its name is given away. */
export function nameKey({ namespace, name }: Pick<VmDefinition, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`;
}
