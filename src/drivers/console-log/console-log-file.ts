import { watch } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import path from 'node:path';
import { Notifier } from '../../core/notifier.ts';
import type { ConsoleReader, ConsoleReadOptions } from '../console.ts';

const PIECE_BYTES = 64 * 1024;
/** virtlogd keeps `max_backups` older files, 3 unless configured otherwise (virtlogd.conf). */
const MAX_BACKUPS = 9;

/** Consoles as virtlogd logs them: `LOG`, and older parts in `LOG.0` (newest) to `LOG.N`. */
export class ConsoleLogFile implements ConsoleReader {
  async *read(
    file: string,
    { tailBytes, followUntil }: ConsoleReadOptions,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const changes = new Notifier();
    using _watcher = followUntil && watchFolder(path.dirname(file), changes);
    const parts = await listParts(file);
    const total = parts.reduce((sum, part) => sum + part.size, 0);
    let skip = tailBytes === 0 ? 0 : Math.max(0, total - tailBytes);
    for (const part of parts.filter((candidate) => candidate.path !== file)) {
      if (skip >= part.size) {
        skip -= part.size;
        continue;
      }
      await using older = await open(part.path, 'r');
      yield* pieces(older, skip, signal);
      skip = 0;
    }
    const follow = followUntil && { changes, until: followUntil };
    yield* this.#current(file, skip, follow, signal);
  }

  /** Reads the current file, and with `follow` whatever is written to it and to its successors. */
  async *#current(
    file: string,
    start: number,
    follow: { readonly changes: Notifier; readonly until: AbortSignal } | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    let handle: FileHandle | undefined;
    let position = start;
    try {
      for (;;) {
        signal.throwIfAborted();
        const seen = follow?.changes.version ?? 0;
        const isLast = follow === undefined || follow.until.aborted;
        handle ??= await openIfThere(file);
        if (handle !== undefined) {
          for await (const piece of pieces(handle, position, signal)) {
            position += piece.length;
            yield piece;
          }
          if (await wasReplaced(handle, file)) {
            // Rotated: what is left of the old file was just read, so go on with the new one.
            await handle.close();
            handle = undefined;
            position = 0;
            continue;
          }
        }
        if (isLast) return;
        await changed(follow, seen, signal);
      }
    } finally {
      await handle?.close();
    }
  }
}

/** Also where nothing more is to come. */
async function changed(
  { changes, until }: { readonly changes: Notifier; readonly until: AbortSignal },
  seen: number,
  signal: AbortSignal,
): Promise<void> {
  try {
    await changes.changed(seen, AbortSignal.any([signal, until]));
  } catch (error) {
    if (signal.aborted || !until.aborted) throw error;
  }
}

function watchFolder(folder: string, changes: Notifier): Disposable {
  const watcher = watch(folder, () => changes.notify());
  // A folder that vanishes ends the notifications, not the agent.
  watcher.on('error', () => changes.notify());
  return { [Symbol.dispose]: () => watcher.close() };
}

async function listParts(file: string): Promise<{ path: string; size: number }[]> {
  const parts: { path: string; size: number }[] = [];
  const names = [...Array(MAX_BACKUPS).keys()].map((index) => `${file}.${index}`).toReversed();
  for (const name of [...names, file]) {
    const found = await stat(name).catch(() => undefined);
    if (found?.isFile() === true) parts.push({ path: name, size: found.size });
  }
  return parts;
}

async function* pieces(
  handle: FileHandle,
  start: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let position = start;
  for (;;) {
    signal.throwIfAborted();
    const buffer = Buffer.allocUnsafe(PIECE_BYTES);
    const { bytesRead } = await handle.read(buffer, 0, PIECE_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function openIfThere(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function wasReplaced(handle: FileHandle, file: string): Promise<boolean> {
  const [mine, current] = await Promise.all([handle.stat(), stat(file).catch(() => undefined)]);
  return current !== undefined && (current.ino !== mine.ino || current.dev !== mine.dev);
}
