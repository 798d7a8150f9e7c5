import { randomUUID } from 'node:crypto';
import type { IncomingVm } from '../../../../src/agent/migration/migration.ts';
import { hypervisorNameOf } from '../../../../src/drivers/hypervisor-domains.ts';
import type { TwoNodes } from './two-nodes.ts';

/** The VM of two nodes as its source tells the destination of it. */
export function incomingOf(
  { vm }: Pick<TwoNodes, 'vm'>,
  changes: Partial<IncomingVm> = {},
): IncomingVm {
  return {
    definition: vm,
    machineType: 'pc-q35-7.2',
    accelerator: 'tcg',
    memoryBytes: 64 * 1024 ** 2,
    vcpus: 1,
    cpu: '',
    bridges: [],
    hypervisorName: hypervisorNameOf(vm),
    privateFiles: {},
    requiredFeatures: [],
    sourceHostUuid: randomUUID(),
    sourceQemuVersion: '7.2.0',
    ...changes,
  };
}
