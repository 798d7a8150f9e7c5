import path from 'node:path';

/** Where images are, below the folder of the disks that stand on them. */
export function imageFolderOf(disks: string): string {
  return path.join(disks, 'base');
}
