import { AgentError } from '../../core/errors.ts';
import type { Connection, Domain } from './connection.ts';
import { isStartingUp } from './domain-states.ts';
import {
  type DomainRecord,
  listRecords,
  type RecordDetail,
  readRecord,
} from './domain-statistics.ts';
import { isInvalidNow, isMissingDomain } from './errors.ts';
import { refuseIncoming, unlessStartIsLost } from './job-operations.ts';
import {
  AFFECT_CONFIG,
  AFFECT_LIVE,
  DEFINE_VALIDATE,
  DEVICE_MODIFY_FORCE,
  DOMAIN_PM_SUSPENDED,
  DOMAIN_RUNNING,
  METADATA_ELEMENT,
  REBOOT_ACPI_POWER_BUTTON,
  START_RESET_NVRAM,
  UNDEFINE_CHECKPOINTS_METADATA,
  UNDEFINE_MANAGED_SAVE,
  UNDEFINE_NVRAM,
  UNDEFINE_SNAPSHOTS_METADATA,
  XML_INACTIVE,
  XML_SECURE,
} from './libvirt-constants.ts';

/*
 * What a call thread can do. Each takes the thread's connection and plain values, and comes to plain values or throws; it leaves
 * no handle behind.
 */

export async function list(connection: Connection, detail: RecordDetail): Promise<DomainRecord[]> {
  return await listRecords(connection, detail);
}

/** What a domain is now, and what it will be at its next start where that is kept apart. */
export interface DomainXml {
  readonly live: string;
  /** Undefined for a domain that is off, and for one that vanishes once it stops. */
  readonly persistent: string | undefined;
}

export async function readXml(connection: Connection, uid: string): Promise<DomainXml> {
  using domain = await connection.getDomain(uid);
  return await readBoth(domain);
}

/** What a domain is now; undefined if there is no such domain. */
export async function findXml(connection: Connection, uid: string): Promise<string | undefined> {
  using domain = await connection.findDomain(uid);
  return await domain?.getXml(0);
}

/** What the next start takes, with its secrets, so that it can be defined again; undefined if there is no such domain. */
export async function findDefinableXml(
  connection: Connection,
  uid: string,
): Promise<string | undefined> {
  using domain = await connection.findDomain(uid);
  return domain && (await readDefinable(domain));
}

async function readDefinable(domain: Domain): Promise<string> {
  const isPersistent = await domain.isPersistent();
  return await domain.getXml(isPersistent ? XML_INACTIVE | XML_SECURE : XML_SECURE);
}

/** What a start of a domain begins with. */
export interface NextRun {
  /** It is on already, and nothing begins. */
  readonly isOn: boolean;
  /** As `findDefinableXml` gives it. */
  readonly xml: string;
  /** libvirt goes on from saved memory, and with what the domain was then. */
  readonly isSaved: boolean;
  /** What it was then; undefined if the file cannot be read: libvirt begins with its definition then, or not at all. */
  readonly savedXml: string | undefined;
}

/** Undefined if there is no such domain. */
export async function findNextRun(
  connection: Connection,
  uid: string,
): Promise<NextRun | undefined> {
  using domain = await connection.findDomain(uid);
  if (domain === undefined) return undefined;
  const xml = await readDefinable(domain);
  const isOn = await domain.isActive();
  const { libvirt } = connection;
  const isSaved =
    !isOn && (await connection.check(libvirt.hasManagedSave(domain.pointer, 0))) === 1;
  const savedXml = isSaved ? await libvirt.getSavedXml(domain.pointer, 0) : undefined;
  return { isOn, xml, isSaved, savedXml: savedXml ?? undefined };
}

export async function find(
  connection: Connection,
  uid: string,
): Promise<{ record: DomainRecord; xml: DomainXml } | undefined> {
  using domain = await connection.findDomain(uid);
  if (domain === undefined) return undefined;
  try {
    // First, as a listing does: of a run that begins in between the XML tells, and the next listing sees that it has.
    const record = await readRecord(connection, domain, 'state');
    return record && { record, xml: await readBoth(domain) };
  } catch (error) {
    // It vanished between two of the calls, as at the end of a migration.
    if (isMissingDomain(error)) return undefined;
    throw error;
  }
}

export async function readBoth(domain: Domain): Promise<DomainXml> {
  const live = await domain.getXml(0);
  // Asked as well, libvirt would tell how it is a little later.
  const apart = isActiveXml(live) && (await domain.isPersistent());
  return { live, persistent: apart ? await domain.getXml(XML_INACTIVE) : undefined };
}

/** Only what is active has an id. */
function isActiveXml(xml: string): boolean {
  return /^\s*<domain\s[^>]*\bid=/.test(xml);
}

/** `name` is that of a domain that is not there yet; one that is keeps the name that somebody has given it. */
export async function define(
  connection: Connection,
  uid: string,
  name: string | undefined,
  xml: string,
): Promise<void> {
  using namesake = name === undefined ? undefined : await connection.findDomainByName(name);
  if (namesake !== undefined && namesake.uid !== uid) {
    throw new AgentError(
      'VM_ALREADY_EXISTS',
      `libvirt has another domain ${name}; rename that one with virsh domrename, or choose another name`,
    );
  }
  const { libvirt } = connection;
  const isNew = !connection.validated.has(xml);
  const defined = libvirt.define(connection.pointer, xml, isNew ? DEFINE_VALIDATE : 0);
  connection.adopt(await connection.checkPointer(defined))[Symbol.dispose]();
  if (isNew) connection.validated.add(xml);
}

/** Whether it has begun with its definition; false for one that was on before, and for one that goes on from saved memory. */
export async function start(
  connection: Connection,
  uid: string,
  { resetsNvram }: { readonly resetsNvram: boolean },
): Promise<boolean> {
  using domain = await connection.getDomain(uid);
  await refuseIncoming(connection, domain);
  const flags = resetsNvram ? START_RESET_NVRAM : 0;
  const saved = await connection.check(connection.libvirt.hasManagedSave(domain.pointer, 0));
  const isStarted = await tryUnless(
    () => connection.check(connection.libvirt.create(domain.pointer, flags)),
    // One that is still being started may come to nothing yet.
    async () => (await domain.isActive()) && !isStartingUp(await domain.readState()),
  );
  return isStarted && saved === 0;
}

export async function shutdown(connection: Connection, uid: string): Promise<void> {
  using domain = await connection.getDomain(uid);
  await tryUnless(
    () => connection.check(connection.libvirt.shutdown(domain.pointer)),
    async () => !(await domain.isActive()),
  );
}

export async function destroy(connection: Connection, uid: string): Promise<void> {
  using domain = await connection.getDomain(uid);
  await tryUnless(
    () =>
      unlessStartIsLost(domain, () => connection.check(connection.libvirt.destroy(domain.pointer))),
    async () => !(await domain.isActive()),
  );
}

export async function suspend(connection: Connection, uid: string): Promise<void> {
  using domain = await connection.getDomain(uid);
  await connection.check(connection.libvirt.suspend(domain.pointer));
}

export async function resume(connection: Connection, uid: string): Promise<void> {
  using domain = await connection.getDomain(uid);
  await refuseIncoming(connection, domain);
  const { libvirt } = connection;
  const isAsleep = (await domain.readState()).state === DOMAIN_PM_SUSPENDED;
  await tryUnless(
    () =>
      connection.check(isAsleep ? libvirt.wake(domain.pointer, 0) : libvirt.resume(domain.pointer)),
    async () => (await domain.readState()).state === DOMAIN_RUNNING,
  );
}

export async function reset(connection: Connection, uid: string): Promise<void> {
  using domain = await connection.getDomain(uid);
  await refuseIncoming(connection, domain);
  await connection.check(connection.libvirt.reset(domain.pointer, 0));
}

export async function reboot(connection: Connection, uid: string): Promise<void> {
  using domain = await connection.getDomain(uid);
  // libvirt would press the button of a guest that cannot see it, and say nothing.
  if ((await domain.readState()).state !== DOMAIN_RUNNING) {
    throw new AgentError('VM_NOT_RUNNING', 'It does not run');
  }
  await connection.check(connection.libvirt.reboot(domain.pointer, REBOOT_ACPI_POWER_BUTTON));
}

export async function undefine(connection: Connection, uid: string): Promise<void> {
  using domain = await connection.findDomain(uid);
  if (domain === undefined) return;
  // libvirt would make a running domain transient: gone from the listing as soon as it stops.
  if (await domain.isActive()) throw new AgentError('VM_RUNNING', 'It is running; stop it first');
  const flags =
    UNDEFINE_MANAGED_SAVE |
    UNDEFINE_SNAPSHOTS_METADATA |
    UNDEFINE_NVRAM |
    UNDEFINE_CHECKPOINTS_METADATA;
  await connection.check(connection.libvirt.undefine(domain.pointer, flags));
}

export interface MetadataElement {
  /** Undefined leaves it as it is. */
  readonly live: string | undefined;
  readonly persistent: string | undefined;
  readonly prefix: string;
  readonly namespace: string;
}

export async function setMetadata(
  connection: Connection,
  uid: string,
  element: MetadataElement,
): Promise<void> {
  using domain = await connection.getDomain(uid);
  const { live, persistent, prefix, namespace } = element;
  const set = async (xml: string, flags: number): Promise<void> => {
    const { libvirt } = connection;
    await connection.check(
      libvirt.setMetadata(domain.pointer, METADATA_ELEMENT, xml, prefix, namespace, flags),
    );
  };
  // The persistent one first: should the second fail, the next start knows at least.
  if (persistent !== undefined && (await domain.isPersistent()))
    await set(persistent, AFFECT_CONFIG);
  if (live !== undefined && (await domain.isActive())) await set(live, AFFECT_LIVE);
}

/** What is off has its drives from its definition. */
export async function changeMedium(
  connection: Connection,
  uid: string,
  drive: string,
  metadata: MetadataElement,
  isForced: boolean,
): Promise<void> {
  using domain = await connection.getDomain(uid);
  if (!(await domain.isActive())) return;
  await refuseIncoming(connection, domain);
  const flags = AFFECT_LIVE | (isForced ? DEVICE_MODIFY_FORCE : 0);
  await connection.check(connection.libvirt.updateDevice(domain.pointer, drive, flags));
  await setMetadata(connection, uid, metadata);
}

/** Takes out what is in a drive, of the next start's and of the one that runs; what is undefined stays as it is. */
export async function emptyDrive(
  connection: Connection,
  uid: string,
  drives: { readonly persistent: string | undefined; readonly live: string | undefined },
): Promise<void> {
  using domain = await connection.getDomain(uid);
  const update = async (drive: string, flags: number): Promise<void> => {
    await connection.check(connection.libvirt.updateDevice(domain.pointer, drive, flags));
  };
  if (drives.persistent !== undefined) await update(drives.persistent, AFFECT_CONFIG);
  if (drives.live === undefined || !(await domain.isActive())) return;
  await refuseIncoming(connection, domain);
  await update(drives.live, AFFECT_LIVE);
}

/** Does it; should libvirt say that this cannot be done now, asks whether it is so already. */
async function tryUnless(
  attempt: () => Promise<unknown>,
  isDone: () => Promise<boolean>,
): Promise<boolean> {
  try {
    await attempt();
    return true;
  } catch (error) {
    if (!isInvalidNow(error) || !(await isDone())) throw error;
    return false;
  }
}
