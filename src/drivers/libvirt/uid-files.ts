import { readdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../../core/errors.ts';
import { codeOf } from '../../core/file-words.ts';
import { isLocalFileSystem } from '../../core/local-file-system.ts';

const UID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}';

export interface UidFilesOptions {
  /** As this process sees it. */
  readonly directory: string;
  /** What follows the uid in a file's name, as a regular expression. */
  readonly suffix: string;
  /** For messages. */
  readonly what: string;
}

/** Files of VMs, or folders, in one folder, named for their uids, so that none is ever taken for that of a namesake. */
export class UidFiles {
  readonly #options: UidFilesOptions;
  readonly #name: RegExp;

  constructor(options: UidFilesOptions) {
    this.#options = options;
    this.#name = new RegExp(`^(${UID})${options.suffix}$`);
  }

  /** The uids of the VMs that have some. */
  async list(): Promise<readonly string[]> {
    const names = await this.#names('list');
    return [
      ...new Set(names.map((name) => this.#ownerOf(name)).filter((uid) => uid !== undefined)),
    ];
  }

  /**
   * Removes those of a VM that is not here. Where other nodes may have the same folder they stay: they may be those of the VM
   * where it is now.
   */
  async remove(uid: string): Promise<void> {
    const { directory } = this.#options;
    const names = (await this.#names('remove')).filter((name) => this.#ownerOf(name) === uid);
    try {
      if (names.length === 0 || !(await isLocal(directory))) return;
      for (const name of names) await rm(join(directory, name), { recursive: true, force: true });
    } catch (error) {
      throw this.#cannot('remove', error);
    }
  }

  async #names(verb: string): Promise<readonly string[]> {
    try {
      return await readdir(this.#options.directory);
    } catch (error) {
      // libvirt makes the folder when it starts for the first time.
      if (codeOf(error) === 'ENOENT') return [];
      throw this.#cannot(verb, error);
    }
  }

  #ownerOf(name: string): string | undefined {
    return this.#name.exec(name)?.[1];
  }

  #cannot(verb: string, error: unknown): AgentError {
    const { what, directory } = this.#options;
    const message = `Cannot ${verb} ${what} in ${directory} (${codeOf(error)})`;
    return new AgentError('HYPERVISOR_FAILURE', message, { cause: error });
  }
}

async function isLocal(directory: string): Promise<boolean> {
  const { type } = await statfs(directory);
  return isLocalFileSystem(type);
}
