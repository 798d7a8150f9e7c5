import type { Out } from './c-call.ts';
import { copyMemory, freeMemory } from './c-memory.ts';
import type { Connection } from './connection.ts';
import { keyUuidOf } from './domain-xml/parts/disk-encryption.ts';
import { element, renderXml } from './domain-xml/xml-node.ts';
import { isMissingSecret, isUnsupported } from './errors.ts';
import type { SecretListPointer, SecretPointer } from './native-pointers.ts';

/*
 * Keys of encrypted disks, as secrets of libvirt's: ephemeral, so libvirtd has them in its memory alone and forgets them when it
 * ends, and private, so it tells them to nobody but QEMU. Each says which VM and volume it is for by what libvirt calls its usage.
 */

const POINTER_BYTES = 8;
const USAGE = /^\/novacron\/([0-9a-f-]{36})\/([a-z0-9-]+)$/;

/** Whether there is a place for them. */
export async function keepsDiskKeys(connection: Connection): Promise<boolean> {
  const secrets = await listSecrets(connection);
  for (const secret of secrets ?? []) connection.libvirt.freeSecret(secret);
  return secrets !== undefined;
}

/** Those that are there already have these values then. */
export async function putDiskKeys(
  connection: Connection,
  uid: string,
  keys: Readonly<Record<string, string>>,
): Promise<void> {
  const { libvirt } = connection;
  for (const [volumeName, key] of Object.entries(keys)) {
    const xml = renderXml(secretNode(uid, volumeName));
    const defined = libvirt.defineSecret(connection.pointer, xml, 0);
    const secret = await connection.checkPointer(defined);
    try {
      const value = Buffer.from(key);
      await connection.check(libvirt.setSecretValue(secret, value, value.length, 0));
    } finally {
      libvirt.freeSecret(secret);
    }
  }
}

/** None is fine. */
export async function removeDiskKeys(connection: Connection, uid: string): Promise<void> {
  await forEachKey(connection, async (secret, owner) => {
    if (owner !== uid) return;
    try {
      await connection.check(connection.libvirt.undefineSecret(secret));
    } catch (error) {
      if (!isMissingSecret(error)) throw error;
    }
  });
}

/** The uids of VMs. */
export async function listDiskKeyOwners(connection: Connection): Promise<readonly string[]> {
  const owners = new Set<string>();
  await forEachKey(connection, async (_secret, owner) => {
    owners.add(owner);
    return Promise.resolve();
  });
  return [...owners];
}

function secretNode(uid: string, volumeName: string) {
  return element(
    'secret',
    { ephemeral: 'yes', private: 'yes' },
    element('uuid', {}, keyUuidOf(uid, volumeName)),
    element('description', {}, `Key of the volume ${volumeName} of domain ${uid}`),
    element('usage', { type: 'volume' }, element('volume', {}, `/novacron/${uid}/${volumeName}`)),
  );
}

/** Only of secrets that an agent has made: nobody else's uuid comes of their usage. */
async function forEachKey(
  connection: Connection,
  work: (secret: SecretPointer, owner: string) => Promise<unknown>,
): Promise<void> {
  const { libvirt } = connection;
  using handles = new DisposableStack();
  const secrets = (await listSecrets(connection)) ?? [];
  for (const secret of secrets) handles.defer(() => libvirt.freeSecret(secret));
  for (const secret of secrets) {
    const [, owner, volumeName] = USAGE.exec(libvirt.getSecretUsage(secret) ?? '') ?? [];
    if (owner === undefined || volumeName === undefined) continue;
    await work(secret, owner);
  }
}

/** Undefined where libvirt keeps none. Whoever asks frees them. */
async function listSecrets(connection: Connection): Promise<readonly SecretPointer[] | undefined> {
  const list: Out<SecretListPointer> = [null];
  let count: number;
  try {
    const { libvirt } = connection;
    count = await connection.check(libvirt.listAllSecrets(connection.pointer, list, 0));
  } catch (error) {
    if (isUnsupported(error)) return undefined;
    throw error;
  }
  const [pointer] = list;
  if (pointer === null) return [];
  const addresses = copyMemory(pointer, count * POINTER_BYTES);
  freeMemory(pointer);
  return Array.from(
    { length: count },
    (_, index) => addresses.readBigUInt64LE(index * POINTER_BYTES) as SecretPointer,
  );
}
