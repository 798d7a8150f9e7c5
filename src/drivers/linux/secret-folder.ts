import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../../core/errors.ts';
import { codeOf } from '../../core/file-words.ts';
import type { NodeSecrets } from '../node-secrets.ts';

const MAX_BYTES = 64 * 1024;
const OTHERS_MAY_READ = 0o077;

/** Files of a folder, each a secret of its name. They may be links, as Kubernetes makes them. */
export class SecretFolder implements NodeSecrets {
  readonly #folder: string;
  readonly #owner: number;

  /** `owner` is the user whose they must be; root unless given. */
  constructor(folder: string, owner = 0) {
    this.#folder = folder;
    this.#owner = owner;
  }

  async read(name: string, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    const file = path.join(this.#folder, name);
    try {
      // A pipe that nobody writes to would be waited for.
      await using handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
      const { mode, uid, size } = await handle.stat();
      if ((mode & constants.S_IFMT) !== constants.S_IFREG) throw unusable(file, 'is no file');
      if (uid !== this.#owner) {
        throw unusable(file, `belongs to user ${uid}; give it to root: chown root ${file}`);
      }
      if ((mode & OTHERS_MAY_READ) !== 0) {
        throw unusable(file, `can be read by others than root: chmod 600 ${file}`);
      }
      if (size > MAX_BYTES) throw unusable(file, `has ${size} bytes, of at most ${MAX_BYTES}`);
      const content = Buffer.alloc(MAX_BYTES);
      const { bytesRead } = await handle.read(content, 0, MAX_BYTES, 0);
      return content.subarray(0, bytesRead);
    } catch (error) {
      if (error instanceof AgentError) throw error;
      throw codeOf(error) === 'ENOENT'
        ? unusable(file, 'is not there; put the secret into it, readable by root alone')
        : unusable(file, `cannot be read (${codeOf(error)})`, error);
    }
  }
}

function unusable(file: string, why: string, cause?: unknown): AgentError {
  return new AgentError('SECRET_NOT_FOUND', `Cannot read the secret: ${file} ${why}`, { cause });
}
