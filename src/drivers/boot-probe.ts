/** Finds out whether guests really boot with KVM: a host may open /dev/kvm, make VMs and still not run one. */
export interface BootProbe {
  /**
   * Boots a guest of a few KB, unless it is known from before. Takes less than a second where guests boot and some ten seconds
   * where they hang. Fails if aborted, or if it cannot be tried, as on a full disk.
   */
  find(signal: AbortSignal): Promise<BootFinding>;
}

export interface BootFinding {
  readonly boots: boolean;
  /** Why not, for people; empty if it boots. */
  readonly why: string;
}
