import { AgentError } from '../../core/errors.ts';
import { madeDiskOf } from '../../core/made-disks.ts';
import { secretsNamedBy, WHERE_SECRETS_ARE_NAMED } from '../../core/resources/named-secrets.ts';
import { passwordSecretOf } from '../../core/resources/password-secret.ts';
import type { VmSpec } from '../../core/resources/virtual-machine.ts';
import { volumesOf } from '../../core/resources/volumes-of.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { NodeSecrets } from '../../drivers/node-secrets.ts';

import { hasPassword } from './vm-passwords.ts';

/** Secrets that came with a request, by the name that the manifest has for each: in base64, as they may be no text. */
export type GivenSecrets = Readonly<Record<string, string>>;

/** Those of an operation that goes on from before, unless its file is gone: then their digest is all that there is. */
export function assertThere(
  given: GivenSecrets | string | undefined,
): asserts given is GivenSecrets | undefined {
  if (typeof given !== 'string') return;
  throw new AgentError(
    'JOURNAL_FAILURE',
    'Cannot go on: the secrets of this request are no longer here; ask again with them',
  );
}

/** The secrets of the node, and before them those that came with the request. */
export function withGiven(given: GivenSecrets | undefined, node: NodeSecrets): NodeSecrets {
  return {
    read(name, signal) {
      const content = givenSecret(given, name);
      if (content === undefined) return node.read(name, signal);
      signal.throwIfAborted();
      return Promise.resolve(content);
    },
  };
}

/** Undefined for one that did not come with the request. */
export function givenSecret(given: GivenSecrets | undefined, name: string): Buffer | undefined {
  const content = given !== undefined && Object.hasOwn(given, name) ? given[name] : undefined;
  return content === undefined ? undefined : Buffer.from(content, 'base64');
}

/** A secret that nothing in the manifest names was meant for something. Fails with INVALID_REQUEST. */
export function assertNamed(given: GivenSecrets | undefined, spec: VmSpec): void {
  const named = secretsNamedBy(spec);
  const unknown = Object.keys(given ?? {}).filter((name) => !named.has(name));
  const [first] = unknown;
  if (first === undefined) return;
  const violations = unknown.map((name) => ({
    field: `secrets[${JSON.stringify(name)}]`,
    description: `is named by nothing in the manifest; name it in ${WHERE_SECRETS_ARE_NAMED}, or leave it out`,
  }));
  throw new AgentError(
    'INVALID_REQUEST',
    `Cannot use the secret ${first}: it is named by nothing in the manifest; name it in ${WHERE_SECRETS_ARE_NAMED}, or leave it out`,
    { violations },
  );
}

/** That a secret was given of which a VM that is there has what it needs already, in sentences. */
export function unusedNotes(
  given: GivenSecrets | undefined,
  spec: VmSpec,
  current: Pick<VmDefinition, 'spec' | 'privateFiles' | 'madeDisks'>,
): readonly string[] {
  return Object.keys(given ?? {}).flatMap((name) => {
    const isPassword = passwordSecretOf(spec) === name;
    if (isPassword && !hasPassword(current, name)) return [];
    const volumes = volumesOf(spec.template.spec);
    const encrypted = volumes.filter(({ encryption }) => encryption?.secret === name);
    const isNeeded = encrypted.some(
      (volume) => madeDiskOf(current.madeDisks, volume.name) === undefined,
    );
    if (isNeeded) return [];
    if (isPassword) {
      return `The secret ${name} was not used: the VM has had its password by that name before; to change it, give passwordSecret another name`;
    }
    if (encrypted.length === 0) return [];
    return `The secret ${name} was not used: the disks that it is the key of have been made`;
  });
}
