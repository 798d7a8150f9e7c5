import { randomBytes } from 'node:crypto';
import * as z from './zod.ts';

/** The private file that has the keys of a VM's encrypted disks. */
export const DISK_KEYS_FILE = 'disk-keys';

/** By volume, each a line of text. Also of volumes that the VM has no longer: their disks stay. */
export type DiskKeys = Readonly<Record<string, string>>;

const SALT_BYTES = 16;
const schema = z.object({ keys: z.record(z.string(), z.string()) });

/** Everybody on the node can read the digest of what comes, which would do to try keys out: so there is salt in it. */
export function writeDiskKeys(keys: DiskKeys): Uint8Array {
  return Buffer.from(JSON.stringify({ salt: randomBytes(SALT_BYTES).toString('hex'), keys }));
}

/** What `writeDiskKeys` has written. */
export function readDiskKeys(content: Uint8Array): DiskKeys {
  return schema.parse(JSON.parse(Buffer.from(content).toString('utf8'))).keys;
}
