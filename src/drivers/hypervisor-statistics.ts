import type { ImageSize } from './images.ts';

/** What running VMs use. */
export interface HypervisorStatistics {
  /**
   * By uid, for VMs that run; may be some seconds old, but never of an earlier run. Costs one call for all VMs
   * together. A VM that is busy, and one that has started since, has none; while the hypervisor cannot be asked, none
   * has any. Fails by its signal only: a listing says what is wrong.
   */
  sample(signal: AbortSignal): Promise<ReadonlyMap<string, VmStatistics>>;
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
  /** Drives without a medium are left out. */
  readonly disks: readonly DiskUse[];
}

/** How large a disk is. */
export interface DiskUse extends ImageSize {
  /** Guest device such as `vda`. */
  readonly target: string;
}
