import type { Connection } from './connection.ts';
import { isUnplugTimeout } from './errors.ts';
import { refuseIncoming } from './job-operations.ts';
import { AFFECT_LIVE } from './libvirt-constants.ts';

/* What a call thread does to how much of the host a running domain has. */

/** Whether it has so many now: libvirt waits 5 s for a guest to give CPUs back, which it may do later or never. */
export async function setVcpus(
  connection: Connection,
  uid: string,
  count: number,
): Promise<boolean> {
  using domain = await connection.getDomain(uid);
  await refuseIncoming(connection, domain);
  try {
    await connection.check(connection.libvirt.setVcpus(domain.pointer, count, AFFECT_LIVE));
    return true;
  } catch (error) {
    if (isUnplugTimeout(error)) return false;
    throw error;
  }
}

/** What its balloon is to leave the guest of what that began with; the guest does it in its own time. */
export async function setBalloon(connection: Connection, uid: string, kib: number): Promise<void> {
  using domain = await connection.getDomain(uid);
  await refuseIncoming(connection, domain);
  await connection.check(connection.libvirt.setMemory(domain.pointer, kib, AFFECT_LIVE));
}
