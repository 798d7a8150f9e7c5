import type { VmSpec } from './virtual-machine.ts';

/** The secret of the node that a VM's password is in; undefined if it is given none. */
export function passwordSecretOf({ template }: VmSpec): string | undefined {
  return template.spec.cloudInit?.passwordSecret;
}
