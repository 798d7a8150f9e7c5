import type { VmDefinition } from '../../src/core/vm-spec.ts';
import type { HypervisorVm, VmRunState } from '../../src/drivers/hypervisor-domains.ts';
import type { JobStatistics } from '../../src/drivers/hypervisor-jobs.ts';

const MIB = 1024 * 1024;

/** A VM of the fake hypervisor. */
export interface FakeVm {
  /** What is listed. */
  definition: VmDefinition;
  /** What the next start takes; undefined for a VM that vanishes when it stops. */
  persistentDefinition: VmDefinition | undefined;
  state: VmRunState;
  stateReason: string;
  cpuTimeNs: bigint;
  job: FakeJob | undefined;
  completedJob: JobStatistics | undefined;
}

export interface FakeJob {
  readonly operation: 'migration-in' | 'migration-out';
  /** Iterations done; the switchover follows the last. */
  iteration: number;
  readonly iterations: number;
  maxDowntimeMs: number | undefined;
  /** The guest has been stopped; there is no way back. */
  isSwitchingOver?: boolean;
  /** Ends it, the VM then running on here. */
  readonly cancel: () => void;
}

export function isActive(vm: FakeVm): boolean {
  return vm.state !== 'stopped' && vm.state !== 'crashed';
}

export function toHypervisorVm(vm: FakeVm): HypervisorVm {
  const { definition } = vm;
  return {
    uid: definition.uid,
    hypervisorName: `${definition.namespace}_${definition.name}`,
    state: vm.state,
    stateReason: vm.stateReason,
    persistent: vm.persistentDefinition !== undefined,
    definition,
    accelerator: 'tcg',
    machineType: 'pc-q35-7.2',
    consoleLogPath: `/var/log/fake/${definition.uid}.log`,
    statistics:
      isActive(vm) && vm.state !== 'incoming'
        ? {
            cpuTimeNs: vm.cpuTimeNs,
            vcpus: definition.spec.cpu.vcpus,
            memoryActualBytes: definition.spec.memory.sizeBytes,
            memoryRssBytes: 64 * MIB,
            diskReadBytes: 0n,
            diskWriteBytes: 0n,
            networkReceiveBytes: 0n,
            networkTransmitBytes: 0n,
          }
        : undefined,
  };
}

export function toStatistics(vm: FakeVm, job: FakeJob, kind: JobStatistics['kind']): JobStatistics {
  const total = BigInt(vm.definition.spec.memory.sizeBytes);
  // Like libvirt, the receiving end has no figures until the end.
  const isKnown = job.operation === 'migration-out' || kind === 'completed';
  const processed = isKnown ? (total * BigInt(job.iteration)) / BigInt(job.iterations) : 0n;
  return {
    kind,
    operation: job.operation,
    elapsedMs: job.iteration * 100,
    setupMs: isKnown ? 1 : 0,
    downtimeMs: kind === 'completed' ? 20 : 0,
    memoryTotalBytes: isKnown ? total : 0n,
    memoryProcessedBytes: processed,
    memoryRemainingBytes: isKnown ? total - processed : 0n,
    memoryConstantPages: 0n,
    memoryNormalBytes: processed,
    memoryBytesPerSecond: isKnown ? BigInt(MIB) : 0n,
    dirtyPagesPerSecond: 0n,
    pageSizeBytes: isKnown ? 4096 : 0,
    iteration: isKnown ? job.iteration : 0,
  };
}
