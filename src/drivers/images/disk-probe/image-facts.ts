import { closeSync, openSync, readSync, type Stats, statfsSync, statSync } from 'node:fs';
import path from 'node:path';
import type { BlockFacts, FileFacts, UnknownImage } from '../../disk-probe.ts';
import { listMountPoints } from '../mount-points.ts';
import { qcow2SizeBytes } from '../qcow2-header.ts';
import { readBlockIdentity } from './block-identity.ts';

/** Where an image's file really is, and what it is. */
export interface LocatedFile {
  readonly folder: string;
  readonly facts: FileFacts;
}

/** Looks at the file at a real path. */
export function locateFile(found: string, opened: string): LocatedFile | UnknownImage {
  const stats = statSync(found, { bigint: true });
  if (!stats.isFile()) return unknown('it is no plain file');
  // Then it need not come from the folder that it is seen in.
  if (listMountPoints().has(found)) return unknown('it is a mount of its own');
  const { format, sizeBytes } = contentOf(found, opened, Number(stats.size));
  const fileId = fileIdOf(found, stats.ino);
  return {
    folder: path.dirname(found),
    facts: { kind: 'file', name: path.basename(found), format, sizeBytes, fileId },
  };
}

/** Looks at the block device at a real path. */
export function readBlock(found: string): BlockFacts | UnknownImage {
  const stats: Stats = statSync(found);
  if (!stats.isBlockDevice()) return unknown('it is no block device');
  const { deviceId, sizeBytes } = readBlockIdentity(found);
  if (deviceId === undefined) {
    const problem = 'the device has neither a WWN nor a serial number, LV or RBD id';
    return { kind: 'unknown', problem, isNameless: true };
  }
  return { kind: 'block', deviceId, sizeBytes };
}

export function unknown(problem: string): UnknownImage {
  return { kind: 'unknown', problem };
}

/** It has the size of the disk. */
const QCOW2_START_BYTES = 32;

/** What is opened raw is raw whatever its content says, which is the guest's to write. */
function contentOf(
  file: string,
  format: string,
  fileBytes: number,
): Pick<FileFacts, 'format' | 'sizeBytes'> {
  if (format === 'raw') return { format, sizeBytes: fileBytes };
  if (format !== 'qcow2') return { format, sizeBytes: undefined };
  const start = Buffer.alloc(QCOW2_START_BYTES);
  const descriptor = openSync(file, 'r');
  try {
    const sizeBytes = qcow2SizeBytes(start.subarray(0, readSync(descriptor, start)));
    return sizeBytes === undefined
      ? { format: 'raw', sizeBytes: fileBytes }
      : { format, sizeBytes };
  } finally {
    closeSync(descriptor);
  }
}

/** File systems that give a file the same number on every host; linux/magic.h and those of their projects. */
const KEEPS_NUMBERS: ReadonlySet<number> = new Set([
  0xef53, // ext4
  0x58465342, // XFS
  0x9123683e, // Btrfs
  0x2fc12fc1, // ZFS
  0x01021994, // tmpfs
  0x6969, // NFS
  0x00c36400, // CephFS
  0x7461636f, // OCFS2
  0x01161970, // GFS2
  0x47504653, // GPFS
  0x0bd00bd0, // Lustre
]);

function fileIdOf(file: string, inode: bigint): string | undefined {
  const { type } = statfsSync(file);
  return KEEPS_NUMBERS.has(type) ? `${type.toString(16)}:${inode}` : undefined;
}
