import type { Machine } from './machine.ts';
import { passwordSecretOf } from './password-secret.ts';
import type { VmSpec } from './virtual-machine.ts';

/** Where a manifest names secrets, for messages. */
export const WHERE_SECRETS_ARE_NAMED =
  'cloudInit.passwordSecret, in auth of an image, or in encryption of a volume';

/** All that a manifest names. */
export function secretsNamedBy(spec: VmSpec): ReadonlySet<string> {
  const names = [passwordSecretOf(spec), ...machineSecretsOf(spec.template.spec)];
  return new Set(names.filter((name) => name !== undefined));
}

function machineSecretsOf({ image, volumes = [] }: Machine): readonly (string | undefined)[] {
  const ofVolumes = volumes.flatMap(({ source, encryption }) => [
    source?.image?.auth,
    encryption?.secret,
  ]);
  return [image?.auth, ...ofVolumes];
}
