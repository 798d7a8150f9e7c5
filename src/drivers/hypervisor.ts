import type { VmDefinition } from '../core/vm-spec.ts';

/**
 * Runs VMs on this node. Every method fails with HYPERVISOR_UNREACHABLE while there is no connection, with
 * HYPERVISOR_TIMEOUT when there is no answer in time, and with VM_NOT_FOUND for an unknown uid unless it says
 * otherwise. After the first two, and after an abort, a change may or may not have happened, or happen yet.
 */
export interface Hypervisor extends AsyncDisposable {
  /** What the hypervisor is and can do, read anew. */
  getInfo(signal: AbortSignal): Promise<HypervisorInfo>;

  /**
   * All VMs of this node, ours and others', as they are now, with statistics that may be some seconds old. A VM that
   * is busy (say, migrating) comes with `statistics: undefined` rather than making the call wait.
   */
  list(signal: AbortSignal): Promise<readonly HypervisorVm[]>;

  /** One VM, read anew, or undefined if there is none with this uid. */
  find(uid: string, signal: AbortSignal): Promise<HypervisorVm | undefined>;

  /**
   * Makes the VM known, stopped. Defining the same uid again replaces its persistent definition; a running VM takes
   * it over at its next start and is listed with the old one until then (see `setDefinition`). Fails with
   * VM_ALREADY_EXISTS if another VM has the name.
   */
  define(definition: VmDefinition, signal: AbortSignal): Promise<void>;

  /** Starts a defined VM. A running one counts as started. */
  start(uid: string, signal: AbortSignal): Promise<void>;

  /** Asks the guest to power off (ACPI) and returns at once. A stopped VM counts as done. */
  shutdown(uid: string, signal: AbortSignal): Promise<void>;

  /** Cuts the VM's power. A stopped VM counts as done. */
  destroy(uid: string, signal: AbortSignal): Promise<void>;

  /** Stops the VM's CPUs. A suspended VM counts as done; a stopped one fails with VM_NOT_RUNNING. */
  suspend(uid: string, signal: AbortSignal): Promise<void>;

  /** Lets the VM's CPUs run on. A running VM counts as done; a stopped one fails with VM_NOT_RUNNING. */
  resume(uid: string, signal: AbortSignal): Promise<void>;

  /** Forgets a stopped VM. One that is already gone counts as done; a running one fails with VM_RUNNING. */
  undefine(uid: string, signal: AbortSignal): Promise<void>;

  /** Replaces the definition kept with the VM (live and persistent), without touching its devices. */
  setDefinition(definition: VmDefinition, signal: AbortSignal): Promise<void>;

  /**
   * Live-migrates the VM to another host's hypervisor and returns when it runs there and is gone here.
   * The hypervisors finish by themselves should this process die. Aborting the signal stops only the waiting;
   * `abortJob` stops the migration. Fails with MIGRATION_FAILED, the VM then (normally) running on here.
   */
  migrate(uid: string, request: HypervisorMigration, signal: AbortSignal): Promise<void>;

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

  /**
   * Lifecycle, job and connection events until aborted. Events may be lost while disconnected: they only say
   * that something is worth looking at; `list` decides. Collected from the call on; aborting ends the iteration.
   */
  watch(signal: AbortSignal): AsyncIterable<HypervisorEvent>;
}

export interface HypervisorInfo {
  readonly hostname: string;
  /** Identifies the host to other hypervisors; two nodes must differ. */
  readonly hostUuid: string;
  readonly uri: string;
  /** Versions such as `9.0.0`. */
  readonly libvirtVersion: string;
  readonly libraryVersion: string;
  readonly qemuVersion: string;
  readonly architecture: string;
  /** Accelerators the hypervisor offers; being offered does not mean that a guest boots with it. */
  readonly accelerators: readonly Accelerator[];
  readonly machineTypes: readonly string[];
  readonly cpuModel: string;
  /** Whom the processes of VMs run as, unless configured per VM; undefined if the hypervisor does not tell. */
  readonly processOwner: FileOwner | undefined;
  readonly features: readonly HypervisorFeature[];
}

export interface FileOwner {
  readonly uid: number;
  readonly gid: number;
}

export type Accelerator = 'kvm' | 'tcg';

export interface HypervisorFeature {
  readonly name: string;
  readonly available: boolean;
  /** Why it is missing; empty when available. */
  readonly detail: string;
}

/** What the hypervisor says a VM is doing. `running-elsewhere-soon` never appears: absent means absent. */
export type VmRunState =
  | 'running'
  | 'paused'
  | 'shutting-down'
  | 'stopped'
  | 'crashed'
  | 'incoming'
  | 'unknown';

export interface HypervisorVm {
  readonly uid: string;
  /** The hypervisor's own name for it. */
  readonly hypervisorName: string;
  readonly state: VmRunState;
  /** The hypervisor's reason, such as `migration`, `crashed`, `io-error`; empty if it has none. */
  readonly stateReason: string;
  /** False for a VM that vanishes once it stops. */
  readonly persistent: boolean;
  /** Whose VM it is; undefined when it was not made by this agent (or its metadata cannot be read). */
  readonly definition: VmDefinition | undefined;
  readonly accelerator: Accelerator;
  /** The machine type it really has, such as `pc-q35-7.2`; empty if unknown. */
  readonly machineType: string;
  /** File that the guest's first serial console is logged to; undefined if there is none. */
  readonly consoleLogPath: string | undefined;
  readonly statistics: VmStatistics | undefined;
}

export interface VmStatistics {
  /** Nanoseconds of CPU time since the VM started. */
  readonly cpuTimeNs: bigint;
  readonly vcpus: number;
  /** What the guest has now (its balloon), in bytes. */
  readonly memoryActualBytes: number;
  /** Resident memory of the hypervisor process, in bytes. */
  readonly memoryRssBytes: number;
  readonly diskReadBytes: bigint;
  readonly diskWriteBytes: bigint;
  readonly networkReceiveBytes: bigint;
  readonly networkTransmitBytes: bigint;
}

export interface HypervisorMigration {
  /** Where the other hypervisor is reached from here: a unix socket path on this host. */
  readonly destinationSocket: string;
  /** Path of the memory stream's socket: connected to on this host, listened on at the destination. */
  readonly memorySocket: string;
  readonly maxDowntimeMs: number | undefined;
  /** Bytes a second; undefined is unlimited. */
  readonly bandwidthBytesPerSecond: number | undefined;
  /** The definition that the VM shall carry at the destination (with its raised ownership epoch). */
  readonly destinationDefinition: VmDefinition;
}

export interface JobStatistics {
  readonly kind: 'none' | 'bounded' | 'unbounded' | 'completed' | 'failed' | 'cancelled';
  readonly operation: 'migration-in' | 'migration-out' | 'other';
  readonly elapsedMs: number;
  readonly setupMs: number;
  readonly downtimeMs: number;
  readonly memoryTotalBytes: bigint;
  readonly memoryProcessedBytes: bigint;
  readonly memoryRemainingBytes: bigint;
  readonly memoryConstantPages: bigint;
  readonly memoryNormalBytes: bigint;
  readonly memoryBytesPerSecond: bigint;
  readonly dirtyPagesPerSecond: bigint;
  readonly pageSizeBytes: number;
  readonly iteration: number;
}

export type HypervisorEvent =
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected'; readonly error: Error }
  | {
      readonly kind: 'lifecycle';
      readonly uid: string;
      readonly event: LifecycleEvent;
      readonly detail: string;
    }
  | { readonly kind: 'migration-iteration'; readonly uid: string; readonly iteration: number }
  | {
      readonly kind: 'job-completed';
      readonly uid: string;
      /** How the job went; on the source of a migration this is the only place that keeps it. */
      readonly statistics: JobStatistics;
    };

export type LifecycleEvent =
  | 'defined'
  | 'undefined'
  | 'started'
  | 'suspended'
  | 'resumed'
  | 'stopped'
  | 'shutdown'
  | 'pm-suspended'
  | 'crashed'
  | 'unknown';
