import { Notifier } from '../../core/notifier.ts';
import type { ConsoleEvent } from './console.ts';

/** Waits at most for one who reads slowly. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** What a piece costs at the least, however little is in it. */
const LEAST_BYTES = 256;

function costOf({ length }: Uint8Array): number {
  return Math.max(length, LEAST_BYTES);
}

/** What one caller who has a console open is still to be told. */
export class ConsoleSeat {
  readonly who: string;
  readonly isReader: boolean;
  readonly #events: ConsoleEvent[] = [];
  readonly #changes = new Notifier();
  #waitingBytes = 0;
  #leftOutBytes = 0;
  #end: { readonly error: Error | undefined } | undefined;

  constructor(who: string, { isReader }: { readonly isReader: boolean }) {
    this.who = who;
    this.isReader = isReader;
  }

  /** What the guest has written. Beyond what waits at most it is left out, and its reader is told how much. */
  put(data: Uint8Array): void {
    if (this.#waitingBytes + costOf(data) > MAX_WAITING_BYTES) {
      this.#leftOutBytes += data.length;
      return;
    }
    if (this.#leftOutBytes > 0) {
      this.#events.push({ kind: 'left-out', bytes: this.#leftOutBytes });
      this.#leftOutBytes = 0;
    }
    this.#waitingBytes += costOf(data);
    this.tell({ kind: 'output', data });
  }

  tell(event: ConsoleEvent): void {
    this.#events.push(event);
    this.#changes.notify();
  }

  /** After what it has been told. */
  end(error: Error | undefined): void {
    this.#end ??= { error };
    this.#changes.notify();
  }

  /** Takes what has come so far. */
  takeOutput(): Uint8Array {
    const data = this.#events.flatMap((event) => (event.kind === 'output' ? [event.data] : []));
    const others = this.#events.filter(({ kind }) => kind !== 'output');
    this.#events.splice(0, this.#events.length, ...others);
    this.#waitingBytes = 0;
    return Buffer.concat(data);
  }

  async *events(signal: AbortSignal): AsyncGenerator<ConsoleEvent, void, undefined> {
    for (;;) {
      signal.throwIfAborted();
      const seen = this.#changes.version;
      const event = this.#events.shift();
      if (event !== undefined) {
        if (event.kind === 'output') this.#waitingBytes -= costOf(event.data);
        yield event;
      } else if (this.#end !== undefined) {
        if (this.#leftOutBytes > 0) yield { kind: 'left-out', bytes: this.#leftOutBytes };
        if (this.#end.error !== undefined) throw this.#end.error;
        return;
      } else {
        await this.#changes.changed(seen, signal);
      }
    }
  }
}
