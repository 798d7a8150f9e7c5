import { randomBytes } from 'node:crypto';
import { passwordSecretOf } from '../../core/resources/password-secret.ts';
import type { VmSpec } from '../../core/resources/virtual-machine.ts';
import { PASSWORD_FILE } from '../../core/user-data.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { NodeSecrets } from '../../drivers/node-secrets.ts';
import { readSecretLine } from './secret-line.ts';

const FIELD = 'spec.template.spec.cloudInit.passwordSecret';
const SALT_BYTES = 16;

/**
 * The private file for the password that a spec names a secret of the node for: read when a VM is made, and when it is given another secret. Undefined if
 * it has none, or if the VM has it already: what becomes of the secret later is not looked at. Fails with SECRET_NOT_FOUND or
 * INVALID_SPEC, by field.
 */
export async function readPassword(
  spec: VmSpec,
  current: Pick<VmDefinition, 'spec' | 'privateFiles'> | undefined,
  secrets: NodeSecrets,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  const name = passwordSecretOf(spec);
  if (name === undefined) return undefined;
  if (current !== undefined && hasPassword(current, name)) return undefined;
  const what = 'the password, or its hash as crypt(5) writes it';
  const password = await readSecretLine({ name, field: FIELD, what }, secrets, signal);
  // Everybody on the node can read its digest, which would do to try passwords out.
  return Buffer.from(`${randomBytes(SALT_BYTES).toString('hex')}\n${password}`);
}

/** Whether a VM has the password of this name. */
export function hasPassword(
  { spec, privateFiles }: Pick<VmDefinition, 'spec' | 'privateFiles'>,
  name: string,
): boolean {
  return privateFiles[PASSWORD_FILE] !== undefined && passwordSecretOf(spec) === name;
}

/** What stands in the private file behind its salt. */
export function passwordIn(file: Uint8Array): Uint8Array {
  return file.subarray(file.indexOf('\n'.charCodeAt(0)) + 1);
}
