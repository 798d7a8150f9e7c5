import { readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { formatDeviceNumber } from '../device-number.ts';

const SECTOR_BYTES = 512;
/** Device mapper stacks are a few levels deep. */
const MAX_DEPTH = 8;

/** Names that are unique in the world, by their standards. What else stands there may be a default that many have. */
const WORLD_WIDE = /^(naa|eui|uuid|nvme|t10)\./;

/** A block device as it names itself, wherever it is attached. */
export interface BlockIdentity {
  /** Undefined for a device that has no name of its own, such as a loop device. */
  readonly deviceId: string | undefined;
  readonly sizeBytes: number;
}

/** What sysfs says of the device behind a path, links followed. */
export function readBlockIdentity(device: string, sysfs = '/sys'): BlockIdentity {
  const { rdev } = statSync(device, { bigint: true });
  const folder = realpathSync(path.join(sysfs, 'dev/block', formatDeviceNumber(rdev)));
  return identityOf(folder);
}

/** The same by its folder in sysfs. */
export function identityOf(folder: string): BlockIdentity {
  const sizeBytes = Number(read(folder, 'size') ?? 0) * SECTOR_BYTES;
  return { deviceId: idOf(folder, 0), sizeBytes };
}

function idOf(folder: string, depth: number): string | undefined {
  if (depth > MAX_DEPTH) return undefined;
  const partition = read(folder, 'partition');
  if (partition !== undefined) {
    const whole = idOf(path.dirname(folder), depth + 1);
    return whole && `${whole} partition ${partition} at ${read(folder, 'start') ?? ''}`;
  }
  const mapped = read(folder, 'dm/uuid');
  if (mapped !== undefined) return mappedId(folder, mapped, depth);
  return rbdId(folder) ?? ownId(folder);
}

/**
 * A volume manager's uuid stands on the disk, so hosts that were cloned have equal ones: what it lies on must be the same
 * too. Multipath is the exception, named for the device itself.
 */
function mappedId(folder: string, uuid: string, depth: number): string | undefined {
  if (/^(part\d+-)?mpath-./.test(uuid)) return uuid;
  const slaves = readdirSync(path.join(folder, 'slaves'));
  const ids = slaves.flatMap(
    (slave) => idOf(realpathSync(path.join(folder, 'slaves', slave)), depth + 1) ?? [],
  );
  if (uuid === '' || ids.length === 0 || ids.length < slaves.length) return undefined;
  // The kernel's names of the devices below, and so their order, may differ from host to host.
  return `${uuid} on ${ids.toSorted().join(', ')}`;
}

/** Ceph's kernel client: https://docs.kernel.org/admin-guide/abi-testing.html, sysfs-bus-rbd. */
function rbdId(folder: string): string | undefined {
  const [cluster, pool, image, snapshot] = ['cluster_fsid', 'pool_id', 'image_id', 'snap_id'].map(
    (name) => read(folder, `device/${name}`),
  );
  if (!cluster || !pool || !image) return undefined;
  return `rbd ${cluster}/${pool}/${image}@${snapshot ?? ''}`;
}

function ownId(folder: string): string | undefined {
  const wwid = (read(folder, 'wwid') ?? read(folder, 'device/wwid') ?? '').replaceAll(/\s+/g, ' ');
  // QEMU numbers the disks that it emulates in every machine alike.
  if (WORLD_WIDE.test(wwid) && !wwid.includes('QEMU')) return wwid;
  // What virtio's disks have, set by whoever attached them.
  const serial = read(folder, 'serial');
  return serial ? `serial ${serial}` : undefined;
}

/** Undefined for what is not there. */
function read(folder: string, name: string): string | undefined {
  try {
    return readFileSync(path.join(folder, name), 'utf8').trim();
  } catch {
    return undefined;
  }
}
