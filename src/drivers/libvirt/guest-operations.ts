import { AgentError } from '../../core/errors.ts';
import type {
  AddressSource,
  GuestCommand,
  GuestCommandEnd,
  GuestFactGroup,
  GuestFacts,
  GuestInterface,
  GuestOnline,
  GuestPassword,
} from '../hypervisor-guest-agent.ts';
import type { Out } from './c-call.ts';
import type { Connection, Domain } from './connection.ts';
import { describeFailure, isInvalidNow, LibvirtError, type OperationFailure } from './errors.ts';
import { parseCommandEnd, parseFreezeStatus, parseGuestMemory, parsePid } from './guest-answers.ts';
import { READ_FACT, readGuestCpus } from './guest-facts.ts';
import { takeInterfaces } from './guest-interfaces.ts';
import { AGENT_UNRESPONSIVE, isSilence } from './guest-refusals.ts';
import {
  ADDRESSES_OF_AGENT,
  ADDRESSES_OF_ARP,
  ADDRESSES_OF_LEASES,
  GUEST_INFO_FILESYSTEM,
  GUEST_INFO_HOSTNAME,
  GUEST_INFO_OS,
  GUEST_INFO_TIMEZONE,
  GUEST_INFO_USERS,
  PASSWORD_ENCRYPTED,
} from './libvirt-constants.ts';
import type { InterfaceListPointer, TypedParametersPointer } from './native-pointers.ts';
import { readAllParameters } from './typed-parameters.ts';

/*
 * What a call thread asks of a guest's agent. libvirt waits 5 s for an agent to show that it is there; for an answer as long as it
 * is told to, and without being told for ever.
 */

export const SYNC_S = 5;
export const ANSWER_S = 5;
/** File systems that are written to take their time. */
export const FREEZE_S = 20;

const MS_PER_SECOND = 1_000;
const NS_PER_MS = 1_000_000;

const TYPES: Readonly<Record<GuestFactGroup, number>> = {
  os: GUEST_INFO_OS,
  hostname: GUEST_INFO_HOSTNAME,
  timeZone: GUEST_INFO_TIMEZONE,
  users: GUEST_INFO_USERS,
  fileSystems: GUEST_INFO_FILESYSTEM,
};

const SOURCES: Readonly<Record<AddressSource, number>> = {
  agent: ADDRESSES_OF_AGENT,
  lease: ADDRESSES_OF_LEASES,
  arp: ADDRESSES_OF_ARP,
};

type FactFinding = GuestFacts[GuestFactGroup] | { readonly failure: OperationFailure };

/** What of each group there is, or how it has failed. */
export type FactFindings = Readonly<Partial<Record<GuestFactGroup, FactFinding>>>;

export interface AddressFinding {
  readonly source: AddressSource;
  readonly found: readonly GuestInterface[] | { readonly failure: OperationFailure };
}

/** A guest that has not answered once is not asked again. */
export async function readGuestFacts(
  connection: Connection,
  uid: string,
  groups: readonly GuestFactGroup[],
): Promise<FactFindings> {
  return await withGuest(connection, uid, ANSWER_S, async (domain) => {
    const findings: Partial<Record<GuestFactGroup, FactFinding>> = {};
    let silence: OperationFailure | undefined;
    for (const group of groups) {
      try {
        findings[group] =
          silence === undefined ? await readGroup(connection, domain, group) : { failure: silence };
      } catch (error) {
        if (isInvalidNow(error)) throw error;
        const failure = failureOf(connection, error);
        findings[group] = { failure };
        if (failure.kind === 'libvirt' && isSilence(failure.code)) silence = failure;
      }
    }
    return findings;
  });
}

export async function readGuestAddresses(
  connection: Connection,
  uid: string,
  sources: readonly AddressSource[],
): Promise<readonly AddressFinding[]> {
  return await withGuest(connection, uid, ANSWER_S, async (domain) => {
    const findings: AddressFinding[] = [];
    for (const source of sources) {
      try {
        findings.push({ source, found: await readInterfaces(connection, domain, source) });
      } catch (error) {
        if (isInvalidNow(error) && source === 'agent') throw error;
        findings.push({ source, found: { failure: failureOf(connection, error) } });
      }
    }
    return findings;
  });
}

/** CPUs by libvirt's own question, memory by one that libvirt has none for. */
export async function readGuestOnline(
  connection: Connection,
  uid: string,
  asksMemory: boolean,
): Promise<GuestOnline> {
  const { libvirt } = connection;
  const parameters = await withGuest(connection, uid, ANSWER_S, async ({ pointer }) => {
    const list: Out<TypedParametersPointer> = [null];
    const count: Out<number> = [null];
    await connection.check(libvirt.getGuestVcpus(pointer, list, count, 0));
    try {
      return readAllParameters(list[0], count[0] ?? 0);
    } finally {
      libvirt.freeParameters(list[0], count[0] ?? 0);
    }
  });
  const cpus = readGuestCpus(parameters);
  if (!asksMemory) return { cpus };
  const info = await ask(connection, uid, { execute: 'guest-get-memory-block-info' });
  const blocks = await ask(connection, uid, { execute: 'guest-get-memory-blocks' });
  return { cpus, memory: parseGuestMemory(info, blocks) };
}

export async function freezeGuest(connection: Connection, uid: string): Promise<number> {
  const { libvirt } = connection;
  return await withGuest(connection, uid, FREEZE_S, ({ pointer }) =>
    connection.check(libvirt.freezeFileSystems(pointer, null, 0, 0)),
  );
}

export async function thawGuest(connection: Connection, uid: string): Promise<number> {
  const { libvirt } = connection;
  return await withGuest(connection, uid, FREEZE_S, ({ pointer }) =>
    connection.check(libvirt.thawFileSystems(pointer, null, 0, 0)),
  );
}

export async function isGuestFrozen(connection: Connection, uid: string): Promise<boolean> {
  return parseFreezeStatus(await ask(connection, uid, { execute: 'guest-fsfreeze-status' }));
}

export async function setGuestPassword(
  connection: Connection,
  uid: string,
  { user, password, isCrypted }: GuestPassword,
): Promise<void> {
  const flags = isCrypted ? PASSWORD_ENCRYPTED : 0;
  const { libvirt } = connection;
  await withGuest(connection, uid, ANSWER_S, ({ pointer }) =>
    connection.check(libvirt.setUserPassword(pointer, user, password, flags)),
  );
}

/** The time is read when nothing is left to be waited for but the guest. */
export async function syncGuestTime(connection: Connection, uid: string): Promise<void> {
  await withGuest(connection, uid, ANSWER_S, ({ pointer }) => {
    const nowMs = Date.now();
    const seconds = Math.floor(nowMs / MS_PER_SECOND);
    const nanoseconds = (nowMs - seconds * MS_PER_SECOND) * NS_PER_MS;
    return connection.check(connection.libvirt.setTime(pointer, seconds, nanoseconds, 0));
  });
}

export async function startGuestCommand(
  connection: Connection,
  uid: string,
  { program, args, stdin }: GuestCommand,
): Promise<number> {
  const input = stdin.length === 0 ? {} : { 'input-data': Buffer.from(stdin).toString('base64') };
  const command = { path: program, arg: args, 'capture-output': true, ...input };
  return parsePid(await ask(connection, uid, { execute: 'guest-exec', arguments: command }));
}

export async function findGuestCommandEnd(
  connection: Connection,
  uid: string,
  pid: number,
): Promise<GuestCommandEnd | undefined> {
  const question = { execute: 'guest-exec-status', arguments: { pid } };
  return parseCommandEnd(await ask(connection, uid, question));
}

async function readGroup(
  connection: Connection,
  domain: Domain,
  group: GuestFactGroup,
): Promise<FactFinding> {
  const { libvirt } = connection;
  const list: Out<TypedParametersPointer> = [null];
  const count: Out<number> = [null];
  const beganMs = performance.now();
  await connection.check(libvirt.getGuestInfo(domain.pointer, TYPES[group], list, count, 0));
  const [pointer] = list;
  // libvirt 9 tells of nothing, and not of a failure, where there was no answer.
  if ((count[0] ?? 0) === 0 && performance.now() - beganMs >= ANSWER_S * MS_PER_SECOND) {
    throw new LibvirtError(AGENT_UNRESPONSIVE, 'The guest agent has not answered');
  }
  try {
    return READ_FACT[group](readAllParameters(pointer, count[0] ?? 0));
  } finally {
    libvirt.freeParameters(pointer, count[0] ?? 0);
  }
}

async function readInterfaces(
  connection: Connection,
  domain: Domain,
  source: AddressSource,
): Promise<readonly GuestInterface[]> {
  const { libvirt } = connection;
  const list: Out<InterfaceListPointer> = [null];
  // libvirt's ways to look at the host's tables fail where there is nothing to look for.
  if (source !== 'agent' && !(await domain.getXml(0)).includes('<interface ')) return [];
  const asked = libvirt.getInterfaceAddresses(domain.pointer, list, SOURCES[source], 0);
  const count = await connection.check(asked);
  return takeInterfaces(libvirt, list[0], count);
}

async function ask(connection: Connection, uid: string, question: object): Promise<string> {
  const { libvirt } = connection;
  return await withGuest(connection, uid, ANSWER_S, ({ pointer }) =>
    connection.checkPointer(libvirt.askAgent(pointer, JSON.stringify(question), ANSWER_S, 0)),
  );
}

/**
 * Has libvirt wait for so long, and not for ever: it keeps that for as long as the domain runs, and nobody else may have said so.
 * To libvirt one that is paused does not run either.
 */
async function withGuest<T>(
  connection: Connection,
  uid: string,
  timeoutS: number,
  work: (domain: Domain) => Promise<T>,
): Promise<T> {
  using domain = await connection.getDomain(uid);
  await connection.check(connection.libvirt.setAgentTimeout(domain.pointer, timeoutS, 0));
  try {
    return await work(domain);
  } catch (error) {
    if (!isInvalidNow(error)) throw error;
    if (!(await domain.isActive())) throw new AgentError('VM_NOT_RUNNING', 'the VM is off');
    throw new AgentError(
      'VM_PAUSED',
      'the VM is paused, and its guest cannot answer; let it go on with novactl vm resume',
    );
  }
}

/** What is lost is lost for all groups. */
function failureOf(connection: Connection, error: unknown): OperationFailure {
  if (!(error instanceof LibvirtError) || !connection.isAlive) throw error;
  return describeFailure(error, true);
}
