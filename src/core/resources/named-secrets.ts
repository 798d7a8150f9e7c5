import type { Machine } from './machine.ts';
import { passwordSecretOf } from './password-secret.ts';
import type { VmSpec } from './virtual-machine.ts';

/** Where a manifest names secrets, for messages. */
export const WHERE_SECRETS_ARE_NAMED = 'cloudInit.passwordSecret, or in auth of an image';

/** All that a manifest names. */
export function secretsNamedBy(spec: VmSpec): ReadonlySet<string> {
  const names = [passwordSecretOf(spec), ...imageSecretsOf(spec.template.spec)];
  return new Set(names.filter((name) => name !== undefined));
}

function imageSecretsOf({ image, volumes = [] }: Machine): readonly (string | undefined)[] {
  return [image?.auth, ...volumes.map(({ source }) => source?.image?.auth)];
}
