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
  UNDEFINE_CHECKPOINTS_METADATA,
  UNDEFINE_MANAGED_SAVE,
  UNDEFINE_NVRAM,
  UNDEFINE_SNAPSHOTS_METADATA,
  XML_INACTIVE,
  XML_SECURE,
} from './libvirt-constants.ts';

/*
 * What a call Worker can do. Each takes the Worker's connection and plain values, blocks, and returns plain values
 * or throws; it leaves no handle behind.
 */

export function list(connection: Connection, detail: RecordDetail): DomainRecord[] {
  return listRecords(connection, detail);
}

/** What a domain is now, and what it will be at its next start where that is kept apart. */
export interface DomainXml {
  readonly live: string;
  /** Undefined for a domain that is off, and for one that vanishes once it stops. */
  readonly persistent: string | undefined;
}

export function readXml(connection: Connection, uid: string): DomainXml {
  using domain = connection.getDomain(uid);
  return readBoth(domain);
}

/** What the next start takes, with its secrets, so that it can be defined again; undefined if there is no such domain. */
export function findDefinableXml(connection: Connection, uid: string): string | undefined {
  using domain = connection.findDomain(uid);
  if (domain === undefined) return undefined;
  return domain.getXml(domain.isPersistent() ? XML_INACTIVE | XML_SECURE : XML_SECURE);
}

export function find(
  connection: Connection,
  uid: string,
): { record: DomainRecord; xml: DomainXml } | undefined {
  using domain = connection.findDomain(uid);
  if (domain === undefined) return undefined;
  try {
    const xml = readBoth(domain);
    const record = readRecord(connection, domain, 'state');
    return record && { record, xml };
  } catch (error) {
    // It vanished between two of the calls, as at the end of a migration.
    if (isMissingDomain(error)) return undefined;
    throw error;
  }
}

function readBoth(domain: Domain): DomainXml {
  const live = domain.getXml(0);
  const apart = domain.isActive() && domain.isPersistent();
  return { live, persistent: apart ? domain.getXml(XML_INACTIVE) : undefined };
}

/** `name` is that of a domain that is not there yet; one that is keeps the name that somebody has given it. */
export function define(
  connection: Connection,
  uid: string,
  name: string | undefined,
  xml: string,
): void {
  using namesake = name === undefined ? undefined : connection.findDomainByName(name);
  if (namesake !== undefined && namesake.uid !== uid) {
    throw new AgentError(
      'VM_ALREADY_EXISTS',
      `libvirt has another domain ${name}; rename that one with virsh domrename, or choose another name`,
    );
  }
  const { libvirt } = connection;
  const pointer = libvirt.define(connection.pointer, xml, DEFINE_VALIDATE);
  connection.adopt(connection.checkPointer(pointer))[Symbol.dispose]();
}

export function start(connection: Connection, uid: string): void {
  using domain = connection.getDomain(uid);
  refuseIncoming(connection, domain);
  tryUnless(
    () => connection.check(connection.libvirt.create(domain.pointer)),
    // One that is still being started may come to nothing yet.
    () => domain.isActive() && !isStartingUp(domain.readState()),
  );
}

export function shutdown(connection: Connection, uid: string): void {
  using domain = connection.getDomain(uid);
  tryUnless(
    () => connection.check(connection.libvirt.shutdown(domain.pointer)),
    () => !domain.isActive(),
  );
}

export function destroy(connection: Connection, uid: string): void {
  using domain = connection.getDomain(uid);
  tryUnless(
    () =>
      unlessStartIsLost(domain, () => connection.check(connection.libvirt.destroy(domain.pointer))),
    () => !domain.isActive(),
  );
}

export function suspend(connection: Connection, uid: string): void {
  using domain = connection.getDomain(uid);
  connection.check(connection.libvirt.suspend(domain.pointer));
}

export function resume(connection: Connection, uid: string): void {
  using domain = connection.getDomain(uid);
  refuseIncoming(connection, domain);
  const { libvirt } = connection;
  const isAsleep = domain.readState().state === DOMAIN_PM_SUSPENDED;
  tryUnless(
    () =>
      connection.check(isAsleep ? libvirt.wake(domain.pointer, 0) : libvirt.resume(domain.pointer)),
    () => domain.readState().state === DOMAIN_RUNNING,
  );
}

export function reset(connection: Connection, uid: string): void {
  using domain = connection.getDomain(uid);
  refuseIncoming(connection, domain);
  connection.check(connection.libvirt.reset(domain.pointer, 0));
}

export function reboot(connection: Connection, uid: string): void {
  using domain = connection.getDomain(uid);
  // libvirt would press the button of a guest that cannot see it, and say nothing.
  if (domain.readState().state !== DOMAIN_RUNNING) {
    throw new AgentError('VM_NOT_RUNNING', 'It does not run');
  }
  connection.check(connection.libvirt.reboot(domain.pointer, REBOOT_ACPI_POWER_BUTTON));
}

export function undefine(connection: Connection, uid: string): void {
  using domain = connection.findDomain(uid);
  if (domain === undefined) return;
  // libvirt would make a running domain transient: gone from the listing as soon as it stops.
  if (domain.isActive()) throw new AgentError('VM_RUNNING', 'It is running; stop it first');
  const flags =
    UNDEFINE_MANAGED_SAVE |
    UNDEFINE_SNAPSHOTS_METADATA |
    UNDEFINE_NVRAM |
    UNDEFINE_CHECKPOINTS_METADATA;
  connection.check(connection.libvirt.undefine(domain.pointer, flags));
}

export interface MetadataElement {
  /** Undefined leaves it as it is. */
  readonly live: string | undefined;
  readonly persistent: string | undefined;
  readonly prefix: string;
  readonly namespace: string;
}

export function setMetadata(connection: Connection, uid: string, element: MetadataElement): void {
  using domain = connection.getDomain(uid);
  const { live, persistent, prefix, namespace } = element;
  const set = (xml: string, flags: number): void => {
    const { libvirt } = connection;
    connection.check(
      libvirt.setMetadata(domain.pointer, METADATA_ELEMENT, xml, prefix, namespace, flags),
    );
  };
  // The persistent one first: should the second fail, the next start knows at least.
  if (persistent !== undefined && domain.isPersistent()) set(persistent, AFFECT_CONFIG);
  if (live !== undefined && domain.isActive()) set(live, AFFECT_LIVE);
}

/** What is off has its drives from its definition. */
export function changeMedium(
  connection: Connection,
  uid: string,
  drive: string,
  metadata: MetadataElement,
  isForced: boolean,
): void {
  using domain = connection.getDomain(uid);
  if (!domain.isActive()) return;
  refuseIncoming(connection, domain);
  const flags = AFFECT_LIVE | (isForced ? DEVICE_MODIFY_FORCE : 0);
  connection.check(connection.libvirt.updateDevice(domain.pointer, drive, flags));
  setMetadata(connection, uid, metadata);
}

/** Does it; should libvirt say that this cannot be done now, asks whether it is so already. */
function tryUnless(attempt: () => void, isDone: () => boolean): void {
  try {
    attempt();
  } catch (error) {
    if (!isInvalidNow(error) || !isDone()) throw error;
  }
}
