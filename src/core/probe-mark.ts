import { randomBytes } from 'node:crypto';

const PREFIX = '.novacron-probe-';

/** The files by which two nodes find out whether they see the same folder; nobody else has such names. */
export const PROBE_MARK = /^\.novacron-probe-[0-9a-f]{32}$/;

/** A name that nobody can have made by chance. */
export function newProbeMark(): string {
  return `${PREFIX}${randomBytes(16).toString('hex')}`;
}
