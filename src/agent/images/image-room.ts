import type { Logger } from '../../core/logger.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { ImageStore } from '../../drivers/image-store.ts';
import { tooMuch } from './image-cache.ts';

export interface ImageRoomOptions {
  readonly store: ImageStore;
  /** That all images may take. */
  readonly cacheBytes: number;
  /** Paths of files, below where contents are fetched to, that are gone on with. */
  readonly listKept: (folder: string) => readonly string[];
  readonly log: Logger;
  readonly now?: (() => number) | undefined;
}

const TIDY_TIMEOUT_MS = 60_000;
/** Between an image's coming and the disk that is made from it. */
const FRESH_MS = 600_000;

/** Sees to it that images take no more room than they may. */
export class ImageRoom {
  readonly #options: ImageRoomOptions;
  #tidying: Promise<void> | undefined;

  constructor(options: ImageRoomOptions) {
    this.#options = options;
  }

  /** Removes once what an agent before this one has left half done. To be awaited before anything new is begun; that it cannot is logged. */
  async tidy(signal: AbortSignal): Promise<void> {
    // In behalf of all who wait for it, so that the first may give up.
    this.#tidying ??= this.#tidy(AbortSignal.timeout(TIDY_TIMEOUT_MS));
    await untilAborted(this.#tidying, signal);
  }

  /** Removes images that are not used, if all take too much. That it cannot is logged. */
  async trim(signal: AbortSignal): Promise<void> {
    const { store, cacheBytes, log, now = Date.now } = this.#options;
    try {
      const all = await store.list(signal);
      for (const { digest, diskBytes } of tooMuch(all, cacheBytes, now() - FRESH_MS)) {
        await store.remove(digest, signal);
        log.info({ digest, diskBytes }, 'Image removed, as images take more than they may');
      }
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: error }, 'Could not remove images that are not used');
    }
  }

  async #tidy(signal: AbortSignal): Promise<void> {
    const { store, listKept, log } = this.#options;
    try {
      const folder = await store.prepare(signal);
      await store.tidy(listKept(folder), signal);
      await this.trim(signal);
    } catch (error) {
      log.warn({ err: error }, 'Could not remove what is left half done of images');
    }
  }
}
