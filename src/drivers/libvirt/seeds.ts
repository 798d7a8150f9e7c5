import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../../core/errors.ts';
import { codeOf } from '../../core/file-words.ts';
import type { FileOwner } from '../hypervisor-host.ts';
import { UidFiles } from './uid-files.ts';

/** The same on every node, as it stands in domains; below a folder of root's, in which QEMU's user cannot put anything else in its place. */
const SEED_DIRECTORY = '/var/lib/libvirt/cloud-init';
/** Others may pass, and see nothing. */
const FOLDER_MODE = 0o711;

/** The images of the disks that cloud-init in guests reads: a file for each VM, for nobody but QEMU. */
export class Seeds extends UidFiles {
  readonly #directory: string;

  /** `root` is where this process sees the root folder of libvirt's host. */
  constructor(root: string) {
    const directory = join(root, SEED_DIRECTORY);
    super({ directory, suffix: '-cloud-init\\.iso(?:\\.new)?', what: 'disks for cloud-init' });
    this.#directory = directory;
  }

  /** As libvirt knows it. */
  pathOf(uid: string): string {
    return join(SEED_DIRECTORY, nameOf(uid));
  }

  async has(uid: string): Promise<boolean> {
    return (await this.#read(uid)) !== undefined;
  }

  /** Whole or not at all. One that is in use stays open, as it was. Fails with STORAGE_FULL or HYPERVISOR_FAILURE. */
  async put(uid: string, image: Uint8Array, owner: FileOwner | undefined): Promise<void> {
    try {
      if ((await this.#read(uid))?.equals(image) === true) return;
      await mkdir(this.#directory, { recursive: true, mode: FOLDER_MODE });
      const path = join(this.#directory, nameOf(uid));
      const whole = `${path}.new`;
      await rm(whole, { force: true });
      await using undo = new AsyncDisposableStack();
      undo.defer(() => rm(whole, { force: true }));
      await using file = await open(whole, 'wx', 0o600);
      await file.writeFile(image);
      await file.sync();
      // libvirt may be set not to give QEMU the files that it needs.
      if (owner !== undefined) await file.chown(owner.uid, owner.gid);
      await rename(whole, path);
      undo.move();
    } catch (error) {
      const code = codeOf(error);
      throw new AgentError(
        code === 'ENOSPC' || code === 'EDQUOT' ? 'STORAGE_FULL' : 'HYPERVISOR_FAILURE',
        `Cannot write the disk for cloud-init to ${this.#directory} (${code})`,
        { metadata: { vmId: uid }, cause: error },
      );
    }
  }

  async #read(uid: string): Promise<Buffer | undefined> {
    try {
      return await readFile(join(this.#directory, nameOf(uid)));
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  }
}

function nameOf(uid: string): string {
  return `${uid}-cloud-init.iso`;
}
