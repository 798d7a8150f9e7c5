import path from 'node:path';

const PROJECT = path.resolve(import.meta.dirname, '../..');

/** A path in the repository; without parts its root. */
export function inProject(...parts: readonly string[]): string {
  return path.join(PROJECT, ...parts);
}

/** Something the lab's user can understand and act on; shown without a stack. */
export class LabError extends Error {
  override readonly name = 'LabError';
}
