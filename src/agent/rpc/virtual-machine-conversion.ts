import type { LogFields } from '../../core/logger.ts';
import {
  type CreateVirtualMachineRequest,
  type VirtualMachine,
  VirtualMachinePhase,
  type VirtualMachineStatistics,
  type WatchVirtualMachinesResponse,
} from '../../gen/novacron/agent/v1/virtual_machine.ts';
import type { WatchEvent } from '../report-origin.ts';
import type { Vm, VmPhase, VmRef, VmRequest, VmUsage } from '../vms/vm.ts';
import { toCondition, toEventType, toOrigin } from './common-conversion.ts';
import { toUint32, toUint64 } from './count-conversion.ts';
import { FieldChecks } from './field-checks.ts';
import { fromMetadata, toMetadata } from './metadata-conversion.ts';
import { fromSpec, toSpec } from './vm-spec-conversion.ts';

const PHASE = {
  pending: VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_PENDING,
  running: VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_RUNNING,
  paused: VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_PAUSED,
  stopping: VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPING,
  stopped: VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_STOPPED,
  migrating: VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_MIGRATING,
  failed: VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_FAILED,
  unknown: VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_UNKNOWN,
} as const satisfies Record<VmPhase, VirtualMachinePhase>;

/** Fails with INVALID_REQUEST for a bad identity, with INVALID_SPEC if only the spec is bad. */
export function fromCreateRequest({ virtualMachine }: CreateVirtualMachineRequest): VmRequest {
  const checks = new FieldChecks();
  const vm = checks.required('virtual_machine', virtualMachine);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot create a VM');
  const metadata = fromMetadata(vm?.metadata, 'virtual_machine.metadata', checks);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot create a VM');
  const spec = fromSpec(vm?.spec, 'virtual_machine.spec', checks);
  checks.throwIfAny('INVALID_SPEC', `Cannot create VM ${metadata.name}`);
  return { ...metadata, spec };
}

export function toVirtualMachine(vm: Vm): VirtualMachine {
  const { definition } = vm;
  return {
    metadata: toMetadata(definition),
    spec: toSpec(definition.spec),
    status: {
      phase: PHASE[vm.phase],
      reason: vm.reason,
      message: vm.message,
      conditions: vm.conditions.map(toCondition),
      observedGeneration: toUint64(definition.generation),
      ownershipEpoch: toUint64(definition.ownershipEpoch),
      accelerator: vm.accelerator ?? '',
      machineType: vm.machineType,
      statistics: vm.statistics && toStatistics(vm.statistics),
      migrationId: vm.migrationId ?? '',
      origin: toOrigin(vm.origin),
    },
  };
}

function toStatistics(usage: VmUsage): VirtualMachineStatistics {
  return {
    cpuTimeNs: toUint64(usage.cpuTimeNs),
    cpuUsageCores: usage.cpuUsageCores,
    vcpus: toUint32(usage.vcpus),
    memoryActualBytes: toUint64(usage.memoryActualBytes),
    memoryRssBytes: toUint64(usage.memoryRssBytes),
    diskReadBytes: toUint64(usage.diskReadBytes),
    diskWriteBytes: toUint64(usage.diskWriteBytes),
    networkReceiveBytes: toUint64(usage.networkReceiveBytes),
    networkTransmitBytes: toUint64(usage.networkTransmitBytes),
  };
}

export function toWatchResponse(event: WatchEvent<Vm>): WatchVirtualMachinesResponse {
  return {
    type: toEventType(event.type),
    virtualMachine: event.type === 'synced' ? undefined : toVirtualMachine(event.object),
    origin: toOrigin(event.origin),
  };
}

/** How a VM is named in the log. */
export function vmFields({ namespace, name, uid }: VmRef | VmRequest): LogFields {
  return { vm: `${namespace}/${name}`, ...(uid === undefined ? {} : { vmId: uid }) };
}
