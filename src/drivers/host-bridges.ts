/** The bridges of the host, to which interfaces of VMs can be connected. */
export interface HostBridges {
  /**
   * The names of all that there are now, in order; none is fine. A bridge of Open vSwitch is none of them: interfaces are
   * connected to it in another way. Fails with HYPERVISOR_FAILURE if the host cannot be asked.
   */
  list(signal: AbortSignal): Promise<readonly string[]>;
}
