/** How long is waited before something is done again for a VM that has led to nothing: twice as long each time. */
export class GrowingDelays {
  readonly #lastMs = new Map<string, number>();

  next(vmUid: string, firstMs: number, maxMs: number): number {
    const last = this.#lastMs.get(vmUid);
    const delayMs = last === undefined ? firstMs : Math.min(2 * last, maxMs);
    this.#lastMs.set(vmUid, delayMs);
    return delayMs;
  }

  /** The next delay is the first again. */
  forget(vmUid: string): void {
    this.#lastMs.delete(vmUid);
  }
}
