import type { VmDefinition } from '../../core/vm-definition.ts';

/** A VM by its name: what it is sorted by in lists, and locked by while its name is given away. */
export function nameKey({ namespace, name }: Pick<VmDefinition, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`;
}

/** The order of name keys in a list: by code unit, as a slash sorts before everything that a name may hold but a hyphen. */
export function compareKeys(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
