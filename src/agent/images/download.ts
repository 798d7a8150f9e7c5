import { untilAborted } from '../../core/until-aborted.ts';
import type { StoredImage } from '../../drivers/image-store.ts';
import type { ImageProgress } from './image.ts';

type Run = (tell: (progress: ImageProgress) => void, signal: AbortSignal) => Promise<StoredImage>;

/** One image that comes, for all who want it. It ends when the last of them has gone. */
export class Download {
  /** What comes of it. */
  readonly outcome: Promise<StoredImage>;
  readonly #end = new AbortController();
  /** When each has asked last, by the clock that nobody sets. */
  readonly #holders = new Map<string, number>();
  #isGoingOn = true;
  #progress: ImageProgress = { step: 'waiting', bytes: 0, totalBytes: undefined };

  constructor(run: Run) {
    const tell = (progress: ImageProgress) => {
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

  get progress(): ImageProgress {
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

  /** What has come of it by then is gone on with the next time. */
  end(): void {
    this.#end.abort(new Error('Nobody waits for the image any more'));
  }
}
