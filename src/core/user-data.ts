import { createHash } from 'node:crypto';
import type { VmSpec } from './resources/virtual-machine.ts';

const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** The spec as anybody may see it: the digest of its user data takes their place. One that has it already stays as it is. */
export function withoutUserData(spec: VmSpec): VmSpec {
  if (!holdsUserData(spec)) return spec;
  const digest = createHash('sha256')
    .update(spec.template.spec.userData ?? '')
    .digest('hex');
  const machine = { ...spec.template.spec, userData: `sha256:${digest}` };
  return { ...spec, template: { ...spec.template, spec: machine } };
}

/** Whether a spec has user data themselves, not just their digest. */
export function holdsUserData(spec: VmSpec): boolean {
  const { userData } = spec.template.spec;
  return userData !== undefined && !DIGEST.test(userData);
}
