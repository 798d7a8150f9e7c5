import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, rmSync, statSync, writeSync } from 'node:fs';

/** What the ends of everything that may be under way need, some KiB each, many times over. */
const RESERVE_BYTES = 1024 ** 2;

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

  /** Makes it unless it is there. Fails as the file system does, and then leaves nothing. */
  makeWhole(): void {
    if (this.#isWhole) return;
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
}

/** The system writes as much as there is room for. */
function writeWhole(descriptor: number, bytes: Uint8Array): void {
  for (let written = 0; written < bytes.length; ) written += writeSync(descriptor, bytes, written);
}
