import { untilAborted } from './until-aborted.ts';

/** Wakes those who wait for a change. A change between looking and waiting is not missed: waiters name the version they saw. */
export class Notifier {
  #version = 0;
  #next = Promise.withResolvers<void>();

  get version(): number {
    return this.#version;
  }

  notify(): void {
    this.#version += 1;
    const woken = this.#next;
    this.#next = Promise.withResolvers<void>();
    woken.resolve();
  }

  /** Returns once the version differs from the one seen; throws the signal's reason when aborted. */
  async changed(seenVersion: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#version !== seenVersion) return;
    await untilAborted(this.#next.promise, signal);
  }
}
