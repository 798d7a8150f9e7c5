import { AgentError } from '../../core/errors.ts';
import type { JobStatistics } from '../hypervisor-jobs.ts';
import type { Out } from './c-call.ts';
import type { Connection, Domain } from './connection.ts';
import { isStartingUp, mayBeIncoming } from './domain-states.ts';
import { isLockedOut, isRefusedNow } from './errors.ts';
import { INCOMING_JOB, toJobStatistics } from './job-statistics.ts';
import {
  BLOCK_JOB_INFO_BYTES,
  JOB_STATS_COMPLETED,
  JOB_STATS_KEEP_COMPLETED,
  MIGRATE_ABORT_ON_ERROR,
  MIGRATE_LIVE,
  MIGRATE_PARAM_BANDWIDTH,
  MIGRATE_PARAM_DEST_XML,
  MIGRATE_PARAM_PERSIST_XML,
  MIGRATE_PARAM_URI,
  MIGRATE_PEER2PEER,
  MIGRATE_PERSIST_DEST,
  MIGRATE_UNDEFINE_SOURCE,
  MIGRATE_UNSAFE,
  XML_INACTIVE,
  XML_MIGRATABLE,
  XML_SECURE,
} from './libvirt-constants.ts';
import type { TypedParametersPointer } from './native-pointers.ts';
import { readParameters } from './typed-parameters.ts';

/** The domain as the destination must be given it: as it runs, and as it is to start the next time. */
export interface MigratableXml {
  readonly live: string;
  readonly persistent: string;
}

export async function readMigratableXml(
  connection: Connection,
  uid: string,
): Promise<MigratableXml> {
  using domain = await connection.getDomain(uid);
  // SECURE keeps what libvirt hides otherwise: a definition without its secrets would not start again.
  const flags = XML_MIGRATABLE | XML_SECURE;
  const live = await domain.getXml(flags);
  return {
    live,
    persistent: (await domain.isPersistent()) ? await domain.getXml(flags | XML_INACTIVE) : live,
  };
}

export interface MigrationCall {
  readonly destinationUri: string;
  readonly memoryUri: string;
  readonly destinationXml: string;
  readonly persistentXml: string;
  /** Its disks have been compared with those of the destination, so libvirt need not judge them by their file systems. */
  readonly disksAreShared: boolean;
  readonly maxDowntimeMs: number | undefined;
  /** libvirt counts in MiB a second. */
  readonly bandwidthMibPerSecond: number | undefined;
}

/** Blocks until the migration has ended. The two libvirtds go on by themselves if this process dies. */
export async function migrate(
  connection: Connection,
  uid: string,
  call: MigrationCall,
): Promise<void> {
  using domain = await connection.getDomain(uid);
  if (!(await domain.isActive())) throw new AgentError('VM_NOT_RUNNING', 'It does not run');
  const { libvirt } = connection;
  const parameters: Out<TypedParametersPointer> = [null];
  const count: [number] = [0];
  const capacity: [number] = [0];
  const addString = (name: string, value: string): void =>
    checkAdded(libvirt.addString(parameters, count, capacity, name, value));
  try {
    addString(MIGRATE_PARAM_URI, call.memoryUri);
    addString(MIGRATE_PARAM_DEST_XML, call.destinationXml);
    addString(MIGRATE_PARAM_PERSIST_XML, call.persistentXml);
    if (call.bandwidthMibPerSecond !== undefined) {
      const bandwidth = BigInt(call.bandwidthMibPerSecond);
      checkAdded(
        libvirt.addUnsignedLong(parameters, count, capacity, MIGRATE_PARAM_BANDWIDTH, bandwidth),
      );
    }
    if (call.maxDowntimeMs !== undefined) await setDowntime(connection, domain, call.maxDowntimeMs);
    const flags = MIGRATE_FLAGS | (call.disksAreShared ? MIGRATE_UNSAFE : 0);
    await connection.check(
      libvirt.migrate(domain.pointer, call.destinationUri, parameters[0], count[0], flags),
    );
  } finally {
    libvirt.freeParameters(parameters[0], count[0]);
  }
}

const MIGRATE_FLAGS =
  // The guest runs on while its memory is copied.
  MIGRATE_LIVE |
  // The source's libvirtd leads, so that the migration outlives its client.
  MIGRATE_PEER2PEER |
  // One persistent definition before and after, at exactly one of the two. Both happen after the switchover
  // only; a migration that fails leaves the source as it was.
  MIGRATE_PERSIST_DEST |
  MIGRATE_UNDEFINE_SOURCE |
  // A guest paused by an I/O error would arrive paused; better that it stays where it can be looked at.
  MIGRATE_ABORT_ON_ERROR;

/** What of a domain libvirt would not migrate, as far as it is not in the XML. */
export interface ObstacleRecord {
  readonly liveXml: string;
  readonly snapshots: number;
  /** Guest devices of the disks that have a job. */
  readonly blockJobs: readonly string[];
  readonly hasOtherJob: boolean;
}

export async function readObstacles(
  connection: Connection,
  uid: string,
  targets: readonly string[],
): Promise<ObstacleRecord> {
  using domain = await connection.getDomain(uid);
  const { libvirt } = connection;
  const info = Buffer.alloc(BLOCK_JOB_INFO_BYTES);
  const blockJobs: string[] = [];
  // It fails for a disk that has gone meanwhile, and for a domain that is off.
  for (const target of targets) {
    if ((await libvirt.getBlockJobInfo(domain.pointer, target, info, 0)) === 1) {
      blockJobs.push(target);
    }
  }
  return {
    liveXml: await domain.getXml(0),
    snapshots: await connection.check(libvirt.countSnapshots(domain.pointer, 0)),
    blockJobs,
    hasOtherJob: (await readJob(connection, domain))?.operation === 'other',
  };
}

/** Undefined when there is no job. */
export async function getJob(
  connection: Connection,
  uid: string,
): Promise<JobStatistics | undefined> {
  using domain = await connection.getDomain(uid);
  return await readJob(connection, domain);
}

export async function getCompletedJob(
  connection: Connection,
  uid: string,
): Promise<JobStatistics | undefined> {
  using domain = await connection.getDomain(uid);
  try {
    return await readJobStatistics(
      connection,
      domain,
      JOB_STATS_COMPLETED | JOB_STATS_KEEP_COMPLETED,
    );
  } catch (error) {
    if (isRefusedNow(error)) return undefined;
    throw error;
  }
}

export async function abortJob(connection: Connection, uid: string): Promise<void> {
  using domain = await connection.getDomain(uid);
  // libvirt would wait for an incoming migration to end and then say that there is no job.
  if ((await readJob(connection, domain))?.operation === 'migration-in') {
    throw new AgentError('VM_BUSY', 'A migration can only be stopped at its source');
  }
  try {
    await connection.check(connection.libvirt.abortJob(domain.pointer));
  } catch (error) {
    if (!isRefusedNow(error)) throw error;
    // libvirt says the same of "there is no job" and of a post-copy migration.
    if ((await readJob(connection, domain)) === undefined) return;
    throw new AgentError('MIGRATION_PAST_SWITCHOVER', 'The destination already runs the guest');
  }
}

/**
 * Only the end of the migration may let the guest run here. libvirt would wait for that end and then do as told;
 * better not to have asked.
 */
export async function refuseIncoming(connection: Connection, domain: Domain): Promise<void> {
  const { state, reason } = await domain.readState();
  if (!mayBeIncoming(state, reason)) return;
  const job = await unlessStartIsLost(domain, () => readJob(connection, domain));
  if (job?.operation !== 'migration-in') return;
  throw new AgentError('VM_BUSY', 'It is arriving by a migration');
}

/**
 * While a domain is being started its job can be asked for, and its power be cut. Where libvirt lets nobody do even that, it
 * keeps the job of a start that it was killed in, and gives it to nobody until it begins without it.
 */
export async function unlessStartIsLost<T>(domain: Domain, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!isLockedOut(error) || !isStartingUp(await domain.readState())) throw error;
    throw new AgentError(
      'HYPERVISOR_FAILURE',
      `libvirtd was killed while it was starting it, and takes it for one that is being started ever since: remove ${domain.name}.xml from /run/libvirt/qemu on the node and restart libvirtd, which leaves guests alone; then ask again`,
    );
  }
}

export async function setMaxDowntime(
  connection: Connection,
  uid: string,
  downtimeMs: number,
): Promise<void> {
  using domain = await connection.getDomain(uid);
  await setDowntime(connection, domain, downtimeMs);
}

async function setDowntime(
  connection: Connection,
  domain: Domain,
  downtimeMs: number,
): Promise<void> {
  await connection.check(
    connection.libvirt.setMaxDowntime(domain.pointer, BigInt(Math.max(1, downtimeMs)), 0),
  );
}

export async function readJob(
  connection: Connection,
  domain: Domain,
): Promise<JobStatistics | undefined> {
  try {
    return await readJobStatistics(connection, domain, 0);
  } catch (error) {
    // Asked about an incoming migration, libvirt answers that only the source has figures.
    if (isRefusedNow(error)) return (await domain.isActive()) ? INCOMING_JOB : undefined;
    throw error;
  }
}

async function readJobStatistics(
  connection: Connection,
  domain: Domain,
  flags: number,
): Promise<JobStatistics | undefined> {
  const { libvirt } = connection;
  const type: Out<number> = [null];
  const pointer: Out<TypedParametersPointer> = [null];
  const count: Out<number> = [null];
  await connection.check(libvirt.getJobStats(domain.pointer, type, pointer, count, flags));
  try {
    const statistics = toJobStatistics(type[0] ?? 0, readParameters(pointer[0], count[0] ?? 0));
    return statistics.kind === 'none' ? undefined : statistics;
  } finally {
    libvirt.freeParameters(pointer[0], count[0] ?? 0);
  }
}

/** It fails for want of memory only. */
function checkAdded(result: number): void {
  if (result < 0) throw new Error('libvirt does not take a parameter of the migration');
}
