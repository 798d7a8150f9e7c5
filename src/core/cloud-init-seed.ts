import { isoImage } from './iso-image.ts';
import type { VmDefinition } from './vm-definition.ts';
import { readYaml } from './yaml.ts';

/* What cloud-init in a guest is told, by one of its data sources: files on a disk with a label of its own. */

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
export function seedImage(definition: VmDefinition, secrets: SeedSecrets): Buffer {
  const { dataSource } = definition.spec.template.spec.cloudInit ?? {};
  return dataSource === 'configdrive'
    ? configDrive(definition, secrets)
    : noCloud(definition, secrets);
}

/** https://cloudinit.readthedocs.io/en/latest/reference/datasources/nocloud.html */
function noCloud(definition: VmDefinition, { userData, password }: SeedSecrets): Buffer {
  const { id, hostname, keys, networkConfig } = identityOf(definition);
  const metadata = {
    'instance-id': id,
    'local-hostname': hostname,
    ...(keys !== undefined && { 'public-keys': keys }),
  };
  return isoImage('cidata', {
    // JSON is YAML.
    'meta-data': json(metadata),
    'user-data': userData ?? Buffer.from(NOTHING),
    // What user data say comes before it.
    ...(password !== undefined && { 'vendor-data': passwordConfig(password) }),
    ...(networkConfig !== undefined && { 'network-config': Buffer.from(unwrapped(networkConfig)) }),
  });
}

/**
 * https://docs.openstack.org/nova/latest/user/metadata.html, as
 * https://cloudbase-init.readthedocs.io/en/latest/services.html#openstack-configdrive reads it: the password from `admin_pass`.
 */
function configDrive(definition: VmDefinition, { userData, password }: SeedSecrets): Buffer {
  const { id, hostname, keys = [] } = identityOf(definition);
  const metadata = {
    uuid: id,
    name: definition.name,
    hostname,
    public_keys: Object.fromEntries(keys.map((key, at) => [`key-${at}`, `${key}\n`])),
    ...(password !== undefined && { admin_pass: Buffer.from(password).toString('utf8') }),
  };
  return isoImage('config-2', {
    'openstack/latest/meta_data.json': json(metadata),
    'openstack/latest/user_data': userData ?? Buffer.from(NOTHING),
    // cloud-init looks for users' passwords here alone.
    ...(password !== undefined && {
      'openstack/latest/vendor_data.json': json({
        'cloud-init': passwordConfig(password).toString('utf8'),
      }),
    }),
  });
}

function identityOf({ uid, name, spec }: VmDefinition) {
  const { instanceId, hostname, sshAuthorizedKeys, networkConfig } =
    spec.template.spec.cloudInit ?? {};
  return {
    id: instanceId ?? uid,
    hostname: hostname ?? name,
    keys: sshAuthorizedKeys,
    networkConfig,
  };
}

function json(value: unknown): Buffer {
  return Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`);
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
