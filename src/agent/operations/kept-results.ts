/** More than can be under way at a time. */
const KEPT = 1_000;

/** What steps of operations have come to that the steps after them need, and that is not on record. An agent that is killed loses it. */
export class KeptResults<T> {
  /** By the id of the operation, the oldest first. */
  readonly #results = new Map<string, T>();

  get(id: string): T | undefined {
    return this.#results.get(id);
  }

  keep(id: string, result: T): T {
    this.#results.set(id, result);
    const [oldest] = this.#results.keys();
    if (this.#results.size > KEPT && oldest !== undefined) this.#results.delete(oldest);
    return result;
  }

  drop(id: string): void {
    this.#results.delete(id);
  }
}
