import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { delay } from '../../core/delay.ts';
import { BytePace } from './byte-pace.ts';

/** What comes by a stream, no faster than it may; ends with it. */
export async function* readPaced(
  stream: Duplex,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const pace = new BytePace();
  const stop = () => stream.destroy();
  signal.addEventListener('abort', stop, { once: true });
  try {
    signal.throwIfAborted();
    for await (const data of stream as AsyncIterable<Buffer>) {
      yield data;
      const waitMs = pace.take(data.length);
      if (waitMs > 0) await delay(waitMs, signal);
    }
    signal.throwIfAborted();
  } catch (error) {
    signal.throwIfAborted();
    // One that is cut says so when it is read; to its reader it has ended.
    if (!stream.destroyed) throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Writes to streams no faster than may be, and waits until there is room. What is written to one that has ended is left out. */
export class PacedWriter {
  readonly #pace = new BytePace();

  async write(stream: Duplex | undefined, data: Uint8Array, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (stream === undefined || stream.destroyed || stream.writableEnded) return;
    if (!stream.write(data)) await drained(stream, signal);
    const waitMs = this.#pace.take(data.length);
    if (waitMs > 0) await delay(waitMs, signal);
  }
}

async function drained(stream: Duplex, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  try {
    await Promise.race(['drain', 'close'].map((event) => once(stream, event, { signal: either })));
  } catch (error) {
    signal.throwIfAborted();
    if (!stream.destroyed) throw error;
  } finally {
    over.abort();
  }
}
