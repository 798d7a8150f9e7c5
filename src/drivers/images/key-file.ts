import { randomUUID } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import path from 'node:path';

/** What is there is kept in memory. */
const FOLDER = '/dev/shm';
const ID = 'key';

/**
 * A key for a program of QEMU's, in a file that has no name any more before the key is in it: nobody finds it, and it is gone with
 * this process, however that ends. Command lines say only where this process has it open.
 */
export class KeyFile implements AsyncDisposable {
  /** What QEMU calls it in its options. */
  readonly id = ID;
  /** For qemu-img and its like. */
  readonly arguments: readonly string[];
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
    this.arguments = ['--object', `secret,id=${ID},file=/proc/${process.pid}/fd/${handle.fd}`];
  }

  static async open(key: string): Promise<KeyFile> {
    const name = path.join(FOLDER, `novacron-${randomUUID()}`);
    const handle = await open(name, 'wx', 0o600);
    await using undo = new AsyncDisposableStack();
    undo.use(handle);
    await unlink(name);
    await handle.writeFile(key);
    undo.move();
    return new KeyFile(handle);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
