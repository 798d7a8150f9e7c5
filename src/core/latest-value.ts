import { Notifier } from './notifier.ts';

/** A value that changes; watchers get the newest and may miss those in between, so a slow one costs nothing. */
export class LatestValue<T> {
  #value: T;
  #ended = false;
  readonly #notifier = new Notifier();

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    this.#value = value;
    this.#notifier.notify();
  }

  /** Says that no newer value will come: watchers end after the last one. */
  end(): void {
    this.#ended = true;
    this.#notifier.notify();
  }

  /** The value now and each newest one after it, until ended; throws the signal's reason when aborted. */
  async *watch(signal: AbortSignal): AsyncGenerator<T, void, undefined> {
    for (;;) {
      signal.throwIfAborted();
      const seen = this.#notifier.version;
      const ended = this.#ended;
      yield this.#value;
      if (ended) return;
      await this.#notifier.changed(seen, signal);
    }
  }
}
