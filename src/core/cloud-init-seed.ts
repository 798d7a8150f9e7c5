import { isoImage } from './iso-image.ts';
import type { VmDefinition } from './vm-definition.ts';
import { readYaml } from './yaml.ts';

/*
 * What cloud-init in a guest is told, by its data source NoCloud
 * (https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html): files on a disk with this label.
 */

const LABEL = 'cidata';
/** It looks for the file, and is content with one that asks for nothing. */
const NOTHING = '#cloud-config\n';

/** Of a machine that was told something, and shall be told nothing any more. */
export function emptySeed(): Buffer {
  return isoImage('none', {});
}

/** What is in no definition. */
export interface SeedSecrets {
  readonly userData: Uint8Array | undefined;
  /** Of the image's first user, plain or hashed. */
  readonly password: Uint8Array | undefined;
}

/**
 * The image of that disk: the same for the same definition and secrets, on whichever node. The id by which the guest tells its
 * first boot from others follows from nothing but the VM's uid, or is given.
 */
export function seedImage(definition: VmDefinition, { userData, password }: SeedSecrets): Buffer {
  const { uid, name, spec } = definition;
  const { instanceId, hostname, sshAuthorizedKeys, networkConfig } =
    spec.template.spec.cloudInit ?? {};
  const metadata = {
    'instance-id': instanceId ?? uid,
    'local-hostname': hostname ?? name,
    ...(sshAuthorizedKeys !== undefined && { 'public-keys': sshAuthorizedKeys }),
  };
  return isoImage(LABEL, {
    // JSON is YAML.
    'meta-data': Buffer.from(`${JSON.stringify(metadata, undefined, 2)}\n`),
    'user-data': userData ?? Buffer.from(NOTHING),
    // What user data say comes before it.
    ...(password !== undefined && { 'vendor-data': passwordConfig(password) }),
    ...(networkConfig !== undefined && { 'network-config': Buffer.from(unwrapped(networkConfig)) }),
  });
}

/** It does not have to be changed at the first login. JSON is YAML. */
function passwordConfig(password: Uint8Array): Buffer {
  const config = { password: Buffer.from(password).toString('utf8'), chpasswd: { expire: false } };
  return Buffer.from(`#cloud-config\n${JSON.stringify(config)}\n`);
}

/** Of the older ones some do not know version 2 within `network:`. What stands within it is written as JSON, which is YAML. */
function unwrapped(networkConfig: string): string {
  const { network } = (readYaml(networkConfig) ?? {}) as { readonly network?: unknown };
  return network === undefined ? networkConfig : `${JSON.stringify(network)}\n`;
}
