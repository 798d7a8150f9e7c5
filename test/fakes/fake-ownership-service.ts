import type { OwnershipService, VmSighting } from '../../src/agent/vms/vm-peers.ts';

/** A node that says what it is told to, and remembers what it was asked and by which node. */
export class FakeOwnershipService implements OwnershipService {
  readonly calls: { readonly method: string; readonly argument: unknown }[] = [];
  sighting: VmSighting = {
    presence: 'absent',
    isOwner: false,
    isRunning: false,
    ownershipEpoch: 0,
  };
  /** Thrown by every call. */
  failure: Error | undefined;

  async locate(vmUid: string, caller: string): Promise<VmSighting> {
    this.#asked('locate', { vmUid, caller });
    return this.sighting;
  }

  async handOver(
    request: { readonly vmUid: string; readonly ownershipEpoch: number },
    caller: string,
  ): Promise<number> {
    this.#asked('handOver', { ...request, caller });
    return request.ownershipEpoch + 1;
  }

  #asked(method: string, argument: unknown): void {
    this.calls.push({ method, argument });
    if (this.failure !== undefined) throw this.failure;
  }
}
