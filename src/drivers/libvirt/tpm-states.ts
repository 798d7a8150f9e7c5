import { join } from 'node:path';
import { UidFiles } from './uid-files.ts';

/** Where libvirt keeps them, a folder for each domain. */
const DIRECTORY = '/var/lib/libvirt/swtpm';

/** What the TPMs of VMs keep. libvirt removes it with a domain, but not that of one which is gone by other means. */
export class TpmStates extends UidFiles {
  /** `root` is where this process sees the root folder of libvirt's host. */
  constructor(root: string) {
    super({ directory: join(root, DIRECTORY), suffix: '', what: 'states of TPMs' });
  }
}
