import type { VmDefinition } from '../../core/vm-definition.ts';

/** What a command has to be given to mean this VM and no other. */
export function commandNameOf({
  namespace,
  name,
}: Pick<VmDefinition, 'namespace' | 'name'>): string {
  return namespace === 'default' ? name : `${namespace}/${name}`;
}
