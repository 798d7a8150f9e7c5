import path from 'node:path';

/** Of files that are named for a VM; whatever else stands in a definition, no other may be removed for it. */
const FILE_NAME =
  /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-[a-z0-9-]+\.(?:raw|qcow2)(?:\.new|\.copied)?$/;
/** What an image is copied into, and what is made otherwise, before it is the disk. */
const HALF_MADE = /\.(?:new|copied)$/;

/** The VM that a disk, or what is to be one, is named for; undefined for other files. */
export function vmUidOf(file: string): string | undefined {
  return FILE_NAME.exec(path.basename(file))?.[1];
}

export function isHalfMade(file: string): boolean {
  return HALF_MADE.test(file);
}

/** The path of the disk that is half-made in a file. */
export function diskHalfMadeIn(file: string): string {
  return file.replace(HALF_MADE, '');
}
