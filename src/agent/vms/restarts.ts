export interface RestartsOptions {
  /** Before the first restart; each later one waits twice as long. Default 2 s. */
  readonly firstDelayMs?: number | undefined;
}

interface Restart {
  /** How long the one that is planned waits, or the last one has waited. */
  readonly delayMs: number;
  /** When it is, or was, due, by the clock that nobody sets. */
  readonly dueAtMs: number;
  /** It has not begun yet. */
  readonly isPlanned: boolean;
}

const FIRST_DELAY_MS = 2_000;
const MAX_DELAY_MS = 300_000;
/** A VM that has run so long is well, and its next restart is the first again. */
const WELL_AFTER_MS = 600_000;

/**
 * When VMs are started again that have stopped by themselves or that could not be started: soon, and each time after twice as
 * long, so that a guest that crashes at once costs its node little.
 */
export class Restarts {
  readonly #firstDelayMs: number;
  readonly #restarts = new Map<string, Restart>();

  constructor({ firstDelayMs = FIRST_DELAY_MS }: RestartsOptions) {
    this.#firstDelayMs = firstDelayMs;
  }

  /** How long the next restart of a VM has to wait still; plans one if none is planned. */
  waitMs(vmUid: string): number {
    const nowMs = performance.now();
    const last = this.#restarts.get(vmUid);
    if (last?.isPlanned === true) return Math.max(0, Math.ceil(last.dueAtMs - nowMs));
    const isWell = last === undefined || nowMs - last.dueAtMs > WELL_AFTER_MS;
    const delayMs = isWell ? this.#firstDelayMs : Math.min(2 * last.delayMs, MAX_DELAY_MS);
    this.#restarts.set(vmUid, { delayMs, dueAtMs: nowMs + delayMs, isPlanned: true });
    return delayMs;
  }

  /** What was planned is done now, or not needed any more: the next restart is another one. */
  settle(vmUid: string): void {
    const restart = this.#restarts.get(vmUid);
    if (restart?.isPlanned === true) this.#restarts.set(vmUid, { ...restart, isPlanned: false });
  }

  forget(vmUid: string): void {
    this.#restarts.delete(vmUid);
  }
}
