import { AgentError } from '../../core/errors.ts';
import type { Connection } from './connection.ts';
import { isUsedAddress } from './errors.ts';
import { refuseIncoming } from './job-operations.ts';
import { AFFECT_LIVE, BLOCK_RESIZE_BYTES } from './libvirt-constants.ts';

/*
 * What call threads do to domains that run. libvirt waits some seconds until a guest has let go of a device, and says nothing if it has
 * not: whoever asks looks at what is there afterwards.
 */

/** `anywhere` is the same device without its place on the bus, for one whose place something else has got meanwhile. */
export async function attachDevice(
  connection: Connection,
  uid: string,
  device: string,
  anywhere: string | undefined,
): Promise<void> {
  using domain = await connection.getDomain(uid);
  await refuseIncoming(connection, domain);
  const attach = (xml: string) =>
    connection.check(connection.libvirt.attachDevice(domain.pointer, xml, AFFECT_LIVE));
  try {
    await attach(device);
  } catch (error) {
    if (anywhere === undefined || !isUsedAddress(error)) throw error;
    await attach(anywhere);
  }
}

export async function detachDevice(
  connection: Connection,
  uid: string,
  device: string,
): Promise<void> {
  using domain = await connection.getDomain(uid);
  await refuseIncoming(connection, domain);
  await connection.check(connection.libvirt.detachDevice(domain.pointer, device, AFFECT_LIVE));
}

export async function updateDevice(
  connection: Connection,
  uid: string,
  device: string,
): Promise<void> {
  using domain = await connection.getDomain(uid);
  await refuseIncoming(connection, domain);
  await connection.check(connection.libvirt.updateDevice(domain.pointer, device, AFFECT_LIVE));
}

/** Never makes one smaller: what is at its end would be lost. */
export async function resizeDisk(
  connection: Connection,
  uid: string,
  target: string,
  bytes: bigint,
): Promise<void> {
  using domain = await connection.getDomain(uid);
  await refuseIncoming(connection, domain);
  const { libvirt } = connection;
  // libvirt-domain.h: struct _virDomainBlockInfo { capacity, allocation, physical }
  const info = Buffer.alloc(24);
  await connection.check(libvirt.getDiskInfo(domain.pointer, target, info, 0));
  const present = info.readBigUInt64LE(0);
  if (present === bytes) return;
  if (present > bytes) {
    throw new AgentError('INVALID_SPEC', `It has ${present} bytes, and disks are not made smaller`);
  }
  await connection.check(libvirt.resizeDisk(domain.pointer, target, bytes, BLOCK_RESIZE_BYTES));
}
