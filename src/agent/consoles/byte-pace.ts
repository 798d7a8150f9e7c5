/** That of a VM's console or display, each way. */
const BYTES_PER_SECOND = 4_000_000;
/** May pass at once after a rest. */
const BURST_BYTES = 1_000_000;

/** Says how long to wait, so that no more passes than may. */
export class BytePace {
  readonly #now: () => number;
  #allowance = BURST_BYTES;
  #sinceMs: number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#sinceMs = now();
  }

  /** So many have passed; milliseconds until more may, 0 for at once. */
  take(bytes: number): number {
    const nowMs = this.#now();
    const gained = ((nowMs - this.#sinceMs) / 1_000) * BYTES_PER_SECOND;
    this.#sinceMs = nowMs;
    this.#allowance = Math.min(BURST_BYTES, this.#allowance + gained) - bytes;
    return this.#allowance >= 0 ? 0 : Math.ceil((-this.#allowance / BYTES_PER_SECOND) * 1_000);
  }
}
