import type { JobStatistics } from '../hypervisor-jobs.ts';
import { bigintOf, findNumber, numberOf, type Parameters } from './typed-parameters.ts';

/** libvirt-domain.h: virDomainJobType */
const KINDS: readonly JobStatistics['kind'][] = [
  'none',
  'bounded',
  'unbounded',
  'completed',
  'failed',
  'cancelled',
];

/** libvirt-domain.h: virDomainJobOperation; the others are saves, snapshots, dumps and backups. */
const MIGRATION_IN = 4;
const MIGRATION_OUT = 5;

/** libvirt-domain.h: VIR_DOMAIN_JOB_*; what a job has not reported yet is 0. */
export function toJobStatistics(type: number, parameters: Parameters): JobStatistics {
  return {
    kind: KINDS[type] ?? 'none',
    operation: toOperation(numberOf(parameters, 'operation')),
    // Where the job came from another host, `time_elapsed` is the difference between the clocks of both. libvirt always
    // sends it, with 0 for what it does not know (qemuDomainJobDataToParams).
    elapsedMs:
      findNumber(parameters, 'time_elapsed_net') ??
      (numberOf(parameters, 'time_elapsed') || undefined),
    setupMs: numberOf(parameters, 'setup_time'),
    downtimeMs: findNumber(parameters, 'downtime'),
    memoryTotalBytes: bigintOf(parameters, 'memory_total'),
    memoryProcessedBytes: bigintOf(parameters, 'memory_processed'),
    memoryRemainingBytes: bigintOf(parameters, 'memory_remaining'),
    memoryConstantPages: bigintOf(parameters, 'memory_constant'),
    memoryNormalBytes: bigintOf(parameters, 'memory_normal_bytes'),
    memoryBytesPerSecond: bigintOf(parameters, 'memory_bps'),
    dirtyPagesPerSecond: bigintOf(parameters, 'memory_dirty_rate'),
    pageSizeBytes: numberOf(parameters, 'memory_page_size'),
    iteration: numberOf(parameters, 'memory_iteration'),
    disks: toDisks(parameters),
  };
}

/** Volumes that are copied with the memory, all together; libvirt reports zeros where none are. */
function toDisks(parameters: Parameters): JobStatistics['disks'] {
  const totalBytes = bigintOf(parameters, 'disk_total');
  if (totalBytes === 0n) return undefined;
  return {
    totalBytes,
    processedBytes: bigintOf(parameters, 'disk_processed'),
    remainingBytes: bigintOf(parameters, 'disk_remaining'),
  };
}

/** libvirt tells the receiving end no figures, only that there is a job. */
export const INCOMING_JOB: JobStatistics = {
  ...toJobStatistics(2, new Map([['operation', MIGRATION_IN]])),
};

/** The type of a job that has ended well; JOB_COMPLETED events come with its figures and without a type. */
export const COMPLETED_JOB_TYPE = 3;

function toOperation(operation: number): JobStatistics['operation'] {
  if (operation === MIGRATION_IN) return 'migration-in';
  return operation === MIGRATION_OUT ? 'migration-out' : 'other';
}
