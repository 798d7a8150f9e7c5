/** Whether a node has a VM. `unknown`: it has said what only a newer agent understands. */
export type VmPresence = 'absent' | 'held' | 'coming' | 'unknown';

/** What a node says of a VM. */
export interface VmSighting {
  /** A stale copy, which is never run, counts as absent; `coming` is one that is being created or is arriving. */
  readonly presence: VmPresence;
  /**
   * The node owns it as far as it knows, also if its hypervisor has no trace of it, or did until it gave the VM to the one
   * who asks and may not have heard of it.
   */
  readonly isOwner: boolean;
  /** Its guest runs there now; false also where the node's agent is too old to say so. */
  readonly isRunning: boolean;
  /** The highest ownership epoch that the node knows the VM to have had; 0 if none, undefined if its agent is too old to say. */
  readonly ownershipEpoch: number | undefined;
}

/** The agent of another node, asked about VMs. Calls fail with PEER_UNREACHABLE when it does not answer. */
export interface VmPeer {
  readonly nodeName: string;
  /** Fails with PEER_INCOMPATIBLE if the agent is of a version that cannot be asked. */
  locate(vmUid: string, signal: AbortSignal): Promise<VmSighting>;
  /** See `OwnershipService`. */
  handOver(vmUid: string, ownershipEpoch: number, signal: AbortSignal): Promise<number>;
}

export interface VmPeers {
  /** The nodes that are configured; whether they can be reached shows when they are asked. */
  list(): readonly VmPeer[];
}

/** What the agents of other nodes ask about VMs. `caller` is the node that the caller's certificate names. */
export interface OwnershipService {
  /** Whether a VM is here. Fails while the hypervisor cannot be asked. */
  locate(vmUid: string, caller: string, signal: AbortSignal): Promise<VmSighting>;

  /**
   * Gives a VM away to the caller, where it runs already, moved there by other means than the agents: from then on no copy
   * of it runs here. Returns its new epoch, and the same again if repeated. Fails with VM_NOT_OWNED, VM_RUNNING or
   * MIGRATION_BLOCKED unless this node owns the VM with the epoch given and its hypervisor has moved it away, or has no trace
   * of it.
   */
  handOver(
    request: { readonly vmUid: string; readonly ownershipEpoch: number },
    caller: string,
    signal: AbortSignal,
  ): Promise<number>;
}
