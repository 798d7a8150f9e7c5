/** What the user asks a VM to be. Shaped like the `spec` of the API's VirtualMachine, field by field. */
export interface VmSpec {
  /** Whether the user wants the VM to run. */
  readonly powerState: PowerState;
  readonly cpu: CpuSpec;
  readonly memory: MemorySpec;
  readonly boot: BootSpec;
  readonly disks: readonly DiskSpec[];
  /** QEMU machine type such as `q35` or `pc-q35-7.2`; undefined takes the node's default. */
  readonly machineType: string | undefined;
}

export type PowerState = 'running' | 'stopped';

export interface CpuSpec {
  /** Virtual CPUs, 1 to 512. */
  readonly vcpus: number;
  /** `host-passthrough`, `host-model` or a named QEMU model; undefined takes the node's default. */
  readonly model: string | undefined;
}

interface MemorySpec {
  /** Guest memory in bytes, a multiple of 1 MiB. */
  readonly sizeBytes: number;
}

export type BootSpec =
  | { readonly kind: 'firmware'; readonly firmware: 'bios' | 'uefi' }
  | {
      readonly kind: 'kernel';
      readonly kernelPath: string;
      readonly initrdPath: string | undefined;
      readonly commandLine: string;
    };

type DiskFormat = 'raw' | 'qcow2';
type DiskBus = 'virtio' | 'scsi' | 'sata';
type DiskCache = 'none' | 'writeback' | 'writethrough' | 'directsync';

export interface DiskSpec {
  /** A DNS label, unique within the VM. */
  readonly name: string;
  /** Guest device name such as `vda`; unique within the VM. */
  readonly target: string;
  readonly bus: DiskBus;
  readonly format: DiskFormat;
  /** Absolute path of an image file on the node. */
  readonly path: string;
  readonly readOnly: boolean;
  /** The same storage is reachable under the same path on every node, so a migration need not copy it. */
  readonly shared: boolean;
  /** 1 boots first; undefined is not booted from. */
  readonly bootOrder: number | undefined;
  readonly cache: DiskCache;
}

/** A VM as the agent defines it: identity, ownership and wanted spec. Travels inside the domain's metadata. */
export interface VmDefinition {
  readonly namespace: string;
  readonly name: string;
  /** RFC 9562 UUID, lower case; also libvirt's domain UUID. */
  readonly uid: string;
  /** Raised by one with every change of the spec; starts at 1. */
  readonly generation: number;
  /** Raised at every switchover of a migration; the node holding the highest epoch owns the VM. */
  readonly ownershipEpoch: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly createdAtMs: number;
  readonly spec: VmSpec;
}
