import type { Logger } from '../../core/logger.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { ImageStore, StoredImage } from '../../drivers/image-store.ts';
import { tooManyParts, tooMuch } from './image-cache.ts';

export interface ImageRoomOptions {
  readonly store: ImageStore;
  /** That all images may take. */
  readonly cacheBytes: number;
  /** Paths of files, below where contents are fetched to, that are gone on with. */
  readonly listKept: (folder: string) => readonly string[];
  /** What nobody waits for any more has come so far, by the names of their files; those first that were given up first. */
  readonly givenUp: GivenUp;
  readonly log: Logger;
  readonly now?: (() => number) | undefined;
}

/** Contents that were begun, and that nobody fetches now. */
interface GivenUp {
  list(): readonly string[];
  /** Nothing is left of one. */
  forget(name: string): void;
  /** Has it removed, unless somebody fetches it again. */
  discard(name: string, signal: AbortSignal): Promise<void>;
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

  /** Removes parts that were given up, then images that are not used, if all take too much. That it cannot is logged. */
  async trim(signal: AbortSignal): Promise<void> {
    const { store, cacheBytes, log, now = Date.now } = this.#options;
    try {
      const all = await store.list(signal);
      const kept = await this.#trimParts(all, signal);
      const rest = Math.max(0, cacheBytes - kept);
      for (const { digest, diskBytes } of tooMuch(all, rest, now() - FRESH_MS)) {
        await store.remove(digest, signal);
        log.info({ digest, diskBytes }, 'Image removed, as images take more than they may');
      }
    } catch (error) {
      signal.throwIfAborted();
      log.warn({ err: error }, 'Could not remove images that are not used');
    }
  }

  /** How many bytes the parts take that stay. */
  async #trimParts(images: readonly StoredImage[], signal: AbortSignal): Promise<number> {
    const { store, cacheBytes, givenUp, log } = this.#options;
    const names = givenUp.list();
    if (names.length === 0) return 0;
    const parts = await store.listParts(names, signal);
    for (const name of names) {
      if (!parts.some((part) => part.name === name)) givenUp.forget(name);
    }
    const going = tooManyParts(parts, images, cacheBytes);
    for (const { name, diskBytes } of going) {
      await givenUp.discard(name, signal);
      log.info({ diskBytes }, 'Part of a download removed, as images take more than they may');
    }
    return parts
      .filter((part) => !going.includes(part))
      .reduce((sum, { diskBytes }) => sum + diskBytes, 0);
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
