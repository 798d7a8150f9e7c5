import { createHash } from 'node:crypto';
import type { VmSpec } from './resources/virtual-machine.ts';

/** The private file that has a VM's user data. */
export const USER_DATA_FILE = 'user-data';

/** The private file that has the password of a VM's first user. */
export const PASSWORD_FILE = 'password';

const DIGEST = /^sha256:([0-9a-f]{64})$/;

/** The spec as anybody may see it: the digest of its user data takes their place. One that has it already stays as it is. */
export function withoutUserData(spec: VmSpec): VmSpec {
  if (!holdsUserData(spec)) return spec;
  const machine = { ...spec.template.spec, userData: `sha256:${userDataDigestOf(spec)}` };
  return { ...spec, template: { ...spec.template, spec: machine } };
}

/** Whether a spec has user data themselves, not just their digest. */
export function holdsUserData(spec: VmSpec): boolean {
  const { userData } = spec.template.spec;
  return userData !== undefined && !DIGEST.test(userData);
}

/** The SHA-256 in hex of a spec's user data, be they in it or not; undefined if it has none. */
export function userDataDigestOf(spec: VmSpec): string | undefined {
  const { userData } = spec.template.spec;
  if (userData === undefined) return undefined;
  return DIGEST.exec(userData)?.[1] ?? createHash('sha256').update(userData).digest('hex');
}
