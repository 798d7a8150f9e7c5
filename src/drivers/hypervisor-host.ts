import type { Machine } from '../core/resources/machine.ts';

/** What the hypervisor of this node is and can do. */
export interface HypervisorHost {
  /** Read anew. */
  getInfo(signal: AbortSignal): Promise<HypervisorInfo>;

  /**
   * Why a VM that runs on another node cannot have its CPU here, with the features that are lacking; undefined if it can, or if the
   * hypervisor cannot tell. `cpu` is what that node's hypervisor says of it in `HypervisorVm.cpu`.
   */
  findCpuProblem(
    cpu: string,
    accelerator: Accelerator,
    signal: AbortSignal,
  ): Promise<string | undefined>;

  /**
   * Why no VM can be given a CPU of a model here, `host-model` and `host-passthrough` among them, with some features and without others;
   * undefined if one can, or if the hypervisor cannot tell.
   */
  findModelProblem(
    cpu: WantedCpu,
    accelerator: Accelerator,
    signal: AbortSignal,
  ): Promise<CpuModelProblem | undefined>;

  /** Buses that disks of VMs can be on here, in the hypervisor's words such as `virtio`; undefined if it cannot tell. */
  listDiskBuses(signal: AbortSignal): Promise<readonly string[] | undefined>;

  /** Whether there is a place for the keys of encrypted disks; see `HypervisorDomains.putDiskKeys`. */
  keepsDiskKeys(signal: AbortSignal): Promise<boolean>;

  /** Which parts of a firmware no VM can be given here, and what to do about each; empty if the hypervisor cannot tell. */
  findFirmwareProblems(
    firmware: Firmware,
    signal: AbortSignal,
  ): Promise<readonly FirmwareProblem[]>;

  /**
   * Which parts of a machine no VM that runs on `accelerator` can be given here, and what to do about each; empty if the hypervisor
   * cannot tell.
   */
  findMachineProblems(
    machine: MachineParts,
    accelerator: Accelerator | undefined,
    signal: AbortSignal,
  ): Promise<readonly MachineProblem[]>;
}

/** What a machine says of its CPU's kind. */
export type WantedCpu = Pick<NonNullable<Machine['cpu']>, 'model' | 'features'>;

export interface CpuModelProblem {
  /** What would have to be another. */
  readonly part: 'model' | 'features';
  /** For people. */
  readonly description: string;
}

/** What of a machine the hypervisor may lack. */
export type MachineParts = Pick<Machine, 'watchdog' | 'vsock' | 'hyperv' | 'memory'>;

export interface MachineProblem {
  readonly field: 'watchdog.model' | 'vsock' | 'hyperv' | 'memory.max';
  /** For people, after the name of the field. */
  readonly description: string;
}

export type Firmware = NonNullable<Machine['firmware']>;

export interface FirmwareProblem {
  readonly part: 'type' | 'secureBoot' | 'tpm' | 'nvram';
  /** For people, after the name of the part. */
  readonly description: string;
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
  /** Where hypervisors of other nodes are led to that send a VM here. */
  readonly incomingSocket: IncomingSocket;
  readonly features: readonly HypervisorFeature[];
}

/** A unix socket of this node, or why there is none. */
export type IncomingSocket =
  | { readonly path: string; readonly problem?: undefined }
  | { readonly problem: string };

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
