import { freeMemory } from './c-memory.ts';
import type { Connection } from './connection.ts';

// libvirt-domain.h: struct _virDomainDiskError { char *disk; int error; }, padded to 16 bytes.
const DISK_ERROR_BYTES = 16;
const ERROR_OFFSET = 8;
/** VIR_DOMAIN_DISK_ERROR_NO_SPACE */
const NO_SPACE = 2;
/** More disks than a VM of an agent can have. */
const MOST_DISKS = 64;

/** Whether a disk of an active domain has failed at its last request for want of room on its storage. */
export async function isStorageFull(connection: Connection, uid: string): Promise<boolean> {
  using domain = await connection.getDomain(uid);
  const { libvirt } = connection;
  const errors = Buffer.alloc(MOST_DISKS * DISK_ERROR_BYTES);
  const count = await connection.check(
    libvirt.getDiskErrors(domain.pointer, errors, MOST_DISKS, 0),
  );
  let isFull = false;
  for (let at = 0; at < count * DISK_ERROR_BYTES; at += DISK_ERROR_BYTES) {
    // The names of the disks, which libvirt leaves to its caller.
    freeMemory(errors.readBigUInt64LE(at));
    if (errors.readInt32LE(at + ERROR_OFFSET) === NO_SPACE) isFull = true;
  }
  return isFull;
}
