/** VMs whose guests were asked to power off and have not yet. */
export class ShutdownRequests {
  readonly #requested = new Set<string>();

  has(vmUid: string): boolean {
    return this.#requested.has(vmUid);
  }

  add(vmUid: string): void {
    this.#requested.add(vmUid);
  }

  delete(vmUid: string): void {
    this.#requested.delete(vmUid);
  }
}
