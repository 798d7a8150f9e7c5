/** The bridges of the host, to which interfaces of VMs can be connected. */
export interface HostBridges {
  /**
   * The names of all that there are now, in order; none is fine. A bridge of Open vSwitch is none of them: interfaces are
   * connected to it in another way.
   */
  list(signal: AbortSignal): Promise<readonly string[]>;
}
