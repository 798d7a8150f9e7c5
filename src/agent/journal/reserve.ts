import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import path from 'node:path';

/** What the ends of everything that may be under way need, some KiB each, many times over. */
const RESERVE_BYTES = 1024 ** 2;
/** What one thing that begins writes, with room to spare. */
const BEGINNING_BYTES = 128 * 1024;

/**
 * Room on the disk that only the journal can use: a file that is given up when the disk is full, so that what has begun can
 * still be ended and recorded.
 */
export class Reserve {
  readonly #file: string;
  #isWhole: boolean;

  constructor(file: string) {
    this.#file = file;
    this.#isWhole = statSync(file, { throwIfNoEntry: false })?.size === RESERVE_BYTES;
  }

  /** Whether it was there. */
  giveUp(): boolean {
    const wasThere = statSync(this.#file, { throwIfNoEntry: false }) !== undefined;
    this.#isWhole = false;
    rmSync(this.#file, { force: true });
    return wasThere;
  }

  /**
   * Fails with ENOSPC where nothing is to be begun. A write would not always tell: it may fit into what the journal has freed before.
   */
  assertRoomToBegin(): void {
    this.#assertFree(BEGINNING_BYTES);
  }

  /** Makes it unless it is there. Fails as the file system does, and then leaves nothing. */
  makeWhole(): void {
    if (this.#isWhole) return;
    // Others of this file system, which guests may be, shall not meet a full disk for this.
    this.#assertFree(2 * RESERVE_BYTES);
    const descriptor = openSync(this.#file, 'w', 0o600);
    try {
      // A file system that compresses would keep no room for zeros.
      writeWhole(descriptor, randomBytes(RESERVE_BYTES));
      fsyncSync(descriptor);
      this.#isWhole = true;
    } finally {
      closeSync(descriptor);
      if (!this.#isWhole) rmSync(this.#file, { force: true });
    }
  }

  #assertFree(bytes: number): void {
    const { bfree, bsize } = statfsSync(path.dirname(this.#file));
    if (bfree * bsize >= bytes) return;
    throw Object.assign(new Error(`There is less than ${bytes / 1024} KiB`), { code: 'ENOSPC' });
  }
}

/** The system writes as much as there is room for. */
function writeWhole(descriptor: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(descriptor, bytes, written);
}
