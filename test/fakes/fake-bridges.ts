import type { HostBridges } from '../../src/drivers/host-bridges.ts';

/** Bridges that are only said to be there. */
export class FakeBridges implements HostBridges {
  readonly #names: Set<string>;

  constructor(...names: readonly string[]) {
    this.#names = new Set(names);
  }

  add(name: string): void {
    this.#names.add(name);
  }

  remove(name: string): void {
    this.#names.delete(name);
  }

  async list(signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    return await Promise.resolve([...this.#names].toSorted());
  }
}
