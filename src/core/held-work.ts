import { untilAborted } from './until-aborted.ts';

type Run<Progress, Outcome> = (
  tell: (progress: Progress) => void,
  signal: AbortSignal,
) => Promise<Outcome>;

/** Work that takes long, for all who want what comes of it. Whoever sees that nobody does any more ends it. */
export class HeldWork<Progress, Outcome> {
  /** What comes of it. */
  readonly outcome: Promise<Outcome>;
  readonly #end = new AbortController();
  /** When each has asked last, by the clock that nobody sets. */
  readonly #holders = new Map<string, number>();
  #isGoingOn = true;
  #progress: Progress;

  constructor(first: Progress, run: Run<Progress, Outcome>) {
    this.#progress = first;
    const tell = (progress: Progress) => {
      this.#progress = progress;
    };
    this.outcome = run(tell, this.#end.signal).finally(() => {
      this.#isGoingOn = false;
    });
    // Those who wait look at it when they ask again.
    this.outcome.catch(() => undefined);
  }

  get isGoingOn(): boolean {
    return this.#isGoingOn;
  }

  get progress(): Progress {
    return this.#progress;
  }

  /** Returns once it has ended, or after so long. */
  async settles(withinMs: number): Promise<void> {
    const waited = AbortSignal.timeout(withinMs);
    await untilAborted(this.outcome, waited).catch(() => undefined);
  }

  get isForNobody(): boolean {
    return this.#holders.size === 0;
  }

  isHeldBy(holder: string): boolean {
    return this.#holders.has(holder);
  }

  hold(holder: string): void {
    this.#holders.set(holder, performance.now());
  }

  release(holder: string): void {
    this.#holders.delete(holder);
  }

  /** Those who have not asked for so long have been given up, or were with an agent that has forgotten them. */
  releaseSilent(forMs: number): void {
    const nowMs = performance.now();
    for (const [holder, askedAtMs] of this.#holders) {
      if (nowMs - askedAtMs > forMs) this.#holders.delete(holder);
    }
  }

  /** Whoever waits for it fails with that nobody does. */
  end(): void {
    this.#end.abort(new Error('Nobody waits for it any more'));
  }
}
