import { join } from 'node:path';
import { UidFiles } from './uid-files.ts';

/** Where libvirt keeps them, and makes them for a domain of its own that has none. */
const NVRAM_DIRECTORY = '/var/lib/libvirt/qemu/nvram';

/** The variables of UEFI: a file for each VM, and others for it with Secure Boot. */
export class UefiVariables extends UidFiles {
  /** `root` is where this process sees the root folder of libvirt's host. */
  constructor(root: string) {
    const directory = join(root, NVRAM_DIRECTORY);
    super({ directory, suffix: '(?:-secure(?:-own)?)?_VARS\\.fd', what: 'UEFI variables' });
  }

  /** As libvirt knows it, without Secure Boot. */
  pathOf(uid: string): string {
    return join(NVRAM_DIRECTORY, `${uid}_VARS.fd`);
  }
}
