import type { MadeDisks } from './made-disks.ts';
import type { VmSpec } from './resources/virtual-machine.ts';

/** More digits than this has are read by no agent. */
export const MAX_OWNERSHIP_EPOCH = 999_999_999_999_999;

/** A VM as the agent defines it: identity, ownership and wanted spec. Travels inside the domain's metadata. */
export interface VmDefinition {
  readonly namespace: string;
  readonly name: string;
  /** RFC 9562 UUID, lower case; also libvirt's domain UUID. */
  readonly uid: string;
  /** Raised by one with every change of the spec; starts at 1. */
  readonly generation: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly createdAtMs: number;
  readonly spec: VmSpec;
  /** Raised at every switchover of a migration; the node holding the highest epoch owns the VM. */
  readonly ownershipEpoch: number;
  /** UUID of the host that owns the VM. A copy that names another host is a stray one. */
  readonly owner: string;
  /** Whether a caller has last asked for it to be on or off. Beside the spec: it raises no generation. */
  readonly intent: 'on' | 'off';
  /** Files of the agent that belong to the VM, by name, with the SHA-256 of their content. They never stand in the domain. */
  readonly privateFiles: Readonly<Record<string, string>>;
  /** Disks that an agent has made for the VM. */
  readonly madeDisks: MadeDisks;
  /**
   * What the guest has ejected, by volume, as the SHA-256 of its path: as long as the spec names the same medium, the drive stays
   * empty. Beside the spec: nobody has asked for another one. Left out where there is nothing.
   */
  readonly ejected?: Readonly<Record<string, string>>;
  /** Set if this agent does not understand all of the manifest: it is kept as it is, byte for byte, and cannot be edited here. */
  readonly newer: NewerDefinition | undefined;
}

interface NewerDefinition {
  /** The manifest as it was written. */
  readonly manifest: string;
  /** What this agent does not know, named as in the manifest. */
  readonly unknownFields: readonly string[];
  /** No agent can have written it like this: it is no JSON. Absent where a newer one may have. */
  readonly isDamaged?: true;
}
