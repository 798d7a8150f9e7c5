import type { HypervisorDisk, VmFacts } from './hypervisor-domains.ts';

/** Long jobs of VMs: migrations now. A VM has one at a time. */
export interface HypervisorJobs {
  /**
   * Live-migrates the VM to another host's hypervisor and returns when it runs there and is gone here.
   * The hypervisors finish by themselves should this process die. Aborting the signal stops only the waiting;
   * `abortJob` stops the migration. Fails with MIGRATION_FAILED, the VM then (normally) running on here, with
   * FEATURE_NOT_SUPPORTED for what the hypervisor cannot do, and with MIGRATION_BLOCKED if its disks are not those of
   * the request.
   */
  migrate(uid: string, request: HypervisorMigration, signal: AbortSignal): Promise<void>;

  /** What of the VM as it is now the hypervisor does not migrate, beside its disks. Asked before `migrate` would fail for it. */
  findObstacles(uid: string, signal: AbortSignal): Promise<readonly MigrationObstacle[]>;

  /** The job running on the VM now; undefined when there is none. */
  getJob(uid: string, signal: AbortSignal): Promise<JobStatistics | undefined>;

  /** Statistics of the last completed migration job, on source or destination; undefined if none are kept. */
  getCompletedJob(uid: string, signal: AbortSignal): Promise<JobStatistics | undefined>;

  /**
   * Stops the job running on the VM and returns once it was told to. No job counts as stopped; a migration can only
   * be stopped at its source (else VM_BUSY) and before its switchover (else MIGRATION_PAST_SWITCHOVER).
   */
  abortJob(uid: string, signal: AbortSignal): Promise<void>;

  /** Changes the allowed downtime of the running migration. */
  setMaxDowntime(uid: string, downtimeMs: number, signal: AbortSignal): Promise<void>;
}

export interface HypervisorMigration {
  readonly transport: MigrationTransport;
  /** Where the guest runs while its memory goes over: at the source, or at the destination, fetching from the source. */
  readonly mode: 'precopy' | 'postcopy';
  /** Volumes that are copied with the memory, by name; all others are found at the destination. */
  readonly copiedVolumes: readonly string[];
  /**
   * The disks that the VM is known to have, as `HypervisorVm.disks`. Those that are not copied are the same at the
   * destination, whatever the hypervisor makes of the file systems that they are on: somebody has made sure of it.
   */
  readonly disks: readonly HypervisorDisk[];
  readonly maxDowntimeMs: number | undefined;
  /** Bytes a second; undefined is unlimited. */
  readonly bandwidthBytesPerSecond: number | undefined;
  /** What the VM shall carry at the destination, from the moment that it runs there: its raised ownership epoch, its new owner. */
  readonly destinationFacts: Partial<VmFacts>;
}

export type MigrationObstacle =
  /** Snapshots that the hypervisor knows of. */
  | { readonly kind: 'snapshots'; readonly count: number }
  /** A disk is being copied or merged; `target` is its guest device. */
  | { readonly kind: 'block-job'; readonly target: string }
  /** Something of this host is attached; for people. */
  | { readonly kind: 'device'; readonly description: string }
  /** The hypervisor would lose some of its memory on the way: from how it was started, as it is in huge pages, or as it grows. */
  | { readonly kind: 'lossy-memory'; readonly cause: 'start' | 'hugepages' | 'growth' }
  /** The VM is being saved, dumped or backed up. */
  | { readonly kind: 'job' };

/** How the bytes go over. */
type MigrationTransport =
  | {
      /** Through sockets that a transfer joins to those of the other host. */
      readonly kind: 'stream';
      /** Where the other hypervisor is reached from here: a unix socket path on this host. */
      readonly destinationSocket: string;
      /** Path of the memory stream's socket: connected to on this host, listened on at the destination. */
      readonly memorySocket: string;
    }
  | {
      /** From hypervisor to hypervisor, over their own TLS. */
      readonly kind: 'direct';
      readonly destinationHost: string;
    };

/** What is not known of a job, such as all of its memory before the first byte, is 0 where it is not undefined. */
export interface JobStatistics {
  readonly kind: 'none' | 'bounded' | 'unbounded' | 'completed' | 'failed' | 'cancelled';
  readonly operation: 'migration-in' | 'migration-out' | 'other';
  /** Of a job at the receiving end: since it began at the sending one, whatever the two clocks say. */
  readonly elapsedMs: number | undefined;
  readonly setupMs: number;
  readonly downtimeMs: number | undefined;
  readonly memoryTotalBytes: bigint;
  readonly memoryProcessedBytes: bigint;
  readonly memoryRemainingBytes: bigint;
  readonly memoryConstantPages: bigint;
  readonly memoryNormalBytes: bigint;
  readonly memoryBytesPerSecond: bigint;
  readonly dirtyPagesPerSecond: bigint;
  readonly pageSizeBytes: number;
  readonly iteration: number;
  /** What goes over beside memory: all copied volumes together; undefined where none are copied. */
  readonly disks: ChannelStatistics | undefined;
}

interface ChannelStatistics {
  readonly totalBytes: bigint;
  readonly processedBytes: bigint;
  readonly remainingBytes: bigint;
}
