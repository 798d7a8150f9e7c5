/** Waits for many things as long as one of them comes to its end within the time. */
export class Patience implements Disposable {
  readonly ms: number;
  readonly #end = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(ms: number) {
    this.ms = ms;
    this.#timer = setTimeout(() => this.#end.abort(), ms);
  }

  /** Aborted when nothing has come for so long. */
  get ended(): AbortSignal {
    return this.#end.signal;
  }

  renew(): void {
    if (!this.#end.signal.aborted) this.#timer.refresh();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
