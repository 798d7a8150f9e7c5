import { randomBytes } from 'node:crypto';
import { AgentError, hasReason } from '../../core/errors.ts';
import { passwordSecretOf } from '../../core/resources/password-secret.ts';
import type { VmSpec } from '../../core/resources/virtual-machine.ts';
import { PASSWORD_FILE } from '../../core/user-data.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { NodeSecrets } from '../../drivers/node-secrets.ts';

const FIELD = 'spec.template.spec.cloudInit.passwordSecret';
const MAX_BYTES = 1024;
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
  const isThere = current?.privateFiles[PASSWORD_FILE] !== undefined;
  if (isThere && passwordSecretOf(current.spec) === name) return undefined;
  try {
    return oneLine(await secrets.read(name, signal));
  } catch (error) {
    if (!hasReason(error, 'SECRET_NOT_FOUND')) throw error;
    const description = `names ${name}: ${error.message.replace(/^Cannot [^:]*: /, '')}`;
    throw new AgentError('SECRET_NOT_FOUND', `Cannot use ${FIELD}: it ${description}`, {
      violations: [{ field: FIELD, description }],
      cause: error,
    });
  }
}

/** What stands in the private file behind its salt. */
export function passwordIn(file: Uint8Array): Uint8Array {
  return file.subarray(file.indexOf('\n'.charCodeAt(0)) + 1);
}

/** As an editor leaves it, with an end of line; comes back behind a line of salt. */
function oneLine(content: Uint8Array): Uint8Array {
  const text = Buffer.from(content)
    .toString('utf8')
    .replace(/\r?\n$/, '');
  const isOne = text !== '' && !/\p{Cc}|\uFFFD/u.test(text) && Buffer.byteLength(text) <= MAX_BYTES;
  // Everybody on the node can read its digest, which would do to try passwords out.
  if (isOne) return Buffer.from(`${randomBytes(SALT_BYTES).toString('hex')}\n${text}`);
  const description = `must name a secret with one line of 1 to ${MAX_BYTES} bytes: the password, or its hash as crypt(5) writes it`;
  throw new AgentError('INVALID_SPEC', `Cannot use ${FIELD}: it ${description}`, {
    violations: [{ field: FIELD, description }],
  });
}
