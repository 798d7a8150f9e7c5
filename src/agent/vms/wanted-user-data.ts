import { AgentError } from '../../core/errors.ts';
import type { WantedVm } from '../../core/resources/parse-virtual-machine.ts';
import {
  holdsUserData,
  USER_DATA_FILE,
  userDataDigestOf,
  withoutUserData,
} from '../../core/user-data.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';

/** A VM as a caller wants it, with its user data set apart: from here on only their digest goes round. */
export interface WantedParts {
  readonly wanted: WantedVm;
  /** Undefined if the VM is to have none, or those that it has. */
  readonly userData: Uint8Array | undefined;
}

export function setUserDataApart(vm: WantedVm): WantedParts {
  if (!holdsUserData(vm.spec)) return { wanted: vm, userData: undefined };
  const userData = Buffer.from(vm.spec.template.spec.userData ?? '');
  return { wanted: { ...vm, spec: withoutUserData(vm.spec) }, userData };
}

/** A digest alone, as a VM that is read shows it, can only mean what the VM has already. Fails with INVALID_SPEC. */
export function assertUserDataKnown(
  { wanted, userData }: WantedParts,
  privateFiles: VmDefinition['privateFiles'],
): void {
  const digest = userDataDigestOf(wanted.spec);
  if (digest === undefined || userData !== undefined) return;
  if (privateFiles[USER_DATA_FILE] === digest) return;
  const field = 'spec.template.spec.userData';
  const description =
    'is the digest of user data that this agent does not have; write the user data themselves';
  throw new AgentError(
    'INVALID_SPEC',
    `Cannot accept VM ${JSON.stringify(wanted.metadata.name)}: ${field} ${description}`,
    { violations: [{ field, description }] },
  );
}
