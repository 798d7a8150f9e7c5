import type { Out } from './c-call.ts';
import type { Connection, Domain } from './connection.ts';
import type { DomainXml } from './domain-operations.ts';
import { type MetadataElement, readBoth, setMetadata } from './domain-operations.ts';
import { readJob } from './job-operations.ts';

/** What there is to be known of a domain before it is taken over. */
export interface AdoptableRecord {
  readonly xml: DomainXml;
  readonly autostart: boolean;
  readonly hasSavedState: boolean;
  readonly hasJob: boolean;
}

export async function findAdoptable(
  connection: Connection,
  uid: string,
): Promise<AdoptableRecord | undefined> {
  using domain = await connection.findDomain(uid);
  if (domain === undefined) return undefined;
  const { libvirt } = connection;
  return {
    xml: await readBoth(domain),
    autostart: await readAutostart(connection, domain),
    hasSavedState: (await connection.check(libvirt.hasManagedSave(domain.pointer, 0))) === 1,
    hasJob: (await readJob(connection, domain)) !== undefined,
  };
}

/** In an order in which each step that is the last leaves a domain that the next attempt goes on with. */
export async function adopt(
  connection: Connection,
  uid: string,
  element: MetadataElement,
): Promise<void> {
  await setMetadata(connection, uid, element);
  using domain = await connection.getDomain(uid);
  if (!(await readAutostart(connection, domain))) return;
  await connection.check(connection.libvirt.setAutostart(domain.pointer, 0));
}

/** One that vanishes when it stops has none. */
async function readAutostart(connection: Connection, domain: Domain): Promise<boolean> {
  if (!(await domain.isPersistent())) return false;
  const autostart: Out<number> = [null];
  await connection.check(connection.libvirt.getAutostart(domain.pointer, autostart));
  return autostart[0] === 1;
}
