/** What was answered a moment ago, for those who ask again; failures are asked for anew. */
export class RecentAnswer<T> {
  readonly #keepMs: number;
  readonly #ask: (signal: AbortSignal) => Promise<T>;
  #known: { readonly answer: T; readonly untilMs: number } | undefined;
  /** Grows with each `forget`: what was asked for before is not kept. */
  #life = 0;

  constructor(keepMs: number, ask: (signal: AbortSignal) => Promise<T>) {
    this.#keepMs = keepMs;
    this.#ask = ask;
  }

  async read(signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (this.#known !== undefined && performance.now() < this.#known.untilMs) {
      return this.#known.answer;
    }
    const life = this.#life;
    const answer = await this.#ask(signal);
    if (life === this.#life) this.#known = { answer, untilMs: performance.now() + this.#keepMs };
    return answer;
  }

  forget(): void {
    this.#life += 1;
    this.#known = undefined;
  }
}
