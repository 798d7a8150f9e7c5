import type { VirtualMachineRef } from '../../gen/novacron/agent/v1/common.ts';
import type { VmRef } from '../vms/vm.ts';
import type { CallContext } from './call-context.ts';
import { fromRef } from './common-conversion.ts';
import { FieldChecks } from './field-checks.ts';
import { vmFields } from './virtual-machine-conversion.ts';

/**
 * The VM that a request names in its field `ref`, which the call's log line then names too. Throws
 * INVALID_REQUEST where it cannot be told.
 */
export function readRef(message: VirtualMachineRef | undefined, context: CallContext): VmRef {
  const checks = new FieldChecks();
  const ref = fromRef(message, 'ref', checks);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot tell which VM is meant');
  context.about(vmFields(ref));
  return ref;
}
