import { readdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../../core/errors.ts';

/** Where libvirt keeps them, and makes them for a domain of its own that has none. */
const NVRAM_DIRECTORY = '/var/lib/libvirt/qemu/nvram';

const FILE = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})_VARS\.fd$/;

/** Numbers of statfs(2) for those that one host alone can have mounted to write. */
const LOCAL_FILE_SYSTEMS = [
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
  0x9123683e, // Btrfs
  0x2fc12fc1, // ZFS
  0xf2f52010, // F2FS
  0xca451a4e, // bcachefs
  0x01021994, // tmpfs
  0x794c7630, // overlayfs
];

/** The variables of UEFI: a file for each VM, named for its uid, so that none is ever taken for that of a namesake. */
export class UefiVariables {
  readonly #directory: string;

  /** `root` is where this process sees the root folder of libvirt's host. */
  constructor(root: string) {
    this.#directory = join(root, NVRAM_DIRECTORY);
  }

  /** As libvirt knows it. */
  pathOf(uid: string): string {
    return join(NVRAM_DIRECTORY, fileOf(uid));
  }

  /** The uids of the VMs that have some. */
  async list(): Promise<readonly string[]> {
    try {
      const names = await readdir(this.#directory);
      return names.map((name) => FILE.exec(name)?.[1]).filter((uid) => uid !== undefined);
    } catch (error) {
      // libvirt makes the folder when it starts for the first time.
      if (codeOf(error) === 'ENOENT') return [];
      throw cannot(`list the UEFI variables in ${this.#directory}`, error);
    }
  }

  /**
   * Removes those of a VM that is not here. Where other nodes may have the same folder they stay: they may be those of the VM
   * where it is now.
   */
  async remove(uid: string): Promise<void> {
    try {
      const { type } = await statfs(this.#directory);
      if (!LOCAL_FILE_SYSTEMS.includes(type)) return;
      await rm(join(this.#directory, fileOf(uid)), { force: true });
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return;
      throw cannot(`remove the UEFI variables ${fileOf(uid)} in ${this.#directory}`, error);
    }
  }
}

function fileOf(uid: string): string {
  return `${uid}_VARS.fd`;
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'error';
}

function cannot(what: string, error: unknown): AgentError {
  return new AgentError('HYPERVISOR_FAILURE', `Cannot ${what} (${codeOf(error)})`, {
    cause: error,
  });
}
