import type { DiskUse, VmStatistics } from '../hypervisor-statistics.ts';
import type { Out } from './c-call.ts';
import { copyMemory, freeMemory } from './c-memory.ts';
import type { Connection, Domain } from './connection.ts';
import {
  LIST_TRANSIENT,
  STATS_BALLOON,
  STATS_BLOCK,
  STATS_CPU_TOTAL,
  STATS_INTERFACE,
  STATS_NOWAIT,
  STATS_STATE,
  STATS_VCPU,
} from './libvirt-constants.ts';
import type {
  DomainListPointer,
  DomainPointer,
  StatsListPointer,
  TypedParametersPointer,
} from './native-pointers.ts';
import { bigintOf, numberOf, readAllParameters, type TextParameters } from './typed-parameters.ts';

/**
 * How much to ask. For statistics libvirt asks QEMU: NOWAIT keeps it from waiting for another job on the domain, but
 * not for a QEMU that does not answer. The state alone never waits.
 */
export type RecordDetail = 'state' | 'statistics';

const STATS_OF_DETAIL: Readonly<Record<RecordDetail, number>> = {
  state: STATS_STATE,
  statistics:
    STATS_STATE | STATS_CPU_TOTAL | STATS_BALLOON | STATS_VCPU | STATS_INTERFACE | STATS_BLOCK,
};
const POINTER_BYTES = 8;
/** libvirt-domain.h: struct _virDomainStatsRecord { dom; params; int nparams; } */
const RECORD_BYTES = 24;
/** libvirt's id of a domain that is not active: (unsigned int) -1. */
const NO_ID = 0xffffffff;

/** What one listing call says of a domain, before its XML is looked at. */
export interface DomainRecord {
  readonly uid: string;
  readonly name: string;
  /** Changes with every start; undefined while not active. */
  readonly runId: number | undefined;
  readonly state: number;
  readonly reason: number;
  readonly persistent: boolean;
  readonly statistics: VmStatistics | undefined;
}

/** All domains with statistics, in three round trips whatever their number. */
export async function listRecords(
  connection: Connection,
  detail: RecordDetail,
): Promise<DomainRecord[]> {
  const transient = await listTransientUids(connection);
  const list: Out<StatsListPointer> = [null];
  const count = await connection.check(
    connection.libvirt.getAllStats(connection.pointer, STATS_OF_DETAIL[detail], list, STATS_NOWAIT),
  );
  return readRecords(connection, list, count, (uid) => !transient.has(uid));
}

/** One domain's record; undefined if it has just vanished. */
export async function readRecord(
  connection: Connection,
  domain: Domain,
  detail: RecordDetail,
): Promise<DomainRecord | undefined> {
  const persistent = await domain.isPersistent();
  const list: Out<StatsListPointer> = [null];
  const domains = new BigUint64Array([domain.pointer, 0n]);
  const count = await connection.check(
    connection.libvirt.getStats(domains, STATS_OF_DETAIL[detail], list, STATS_NOWAIT),
  );
  return readRecords(connection, list, count, () => persistent)[0];
}

function readRecords(
  connection: Connection,
  list: Out<StatsListPointer>,
  count: number,
  isPersistent: (uid: string) => boolean,
): DomainRecord[] {
  const [pointer] = list;
  if (pointer === null) return [];
  try {
    const records: DomainRecord[] = [];
    const addresses = copyMemory(pointer, count * POINTER_BYTES);
    for (let index = 0; index < count; index += 1) {
      const record = copyMemory(addresses.readBigUInt64LE(index * POINTER_BYTES), RECORD_BYTES);
      const domain = record.readBigUInt64LE(0) as DomainPointer;
      const parameters = readAllParameters(
        record.readBigUInt64LE(8) as TypedParametersPointer,
        record.readInt32LE(16),
      );
      const uid = connection.uuidOf(domain);
      records.push(toRecord(connection, domain, uid, isPersistent(uid), parameters));
    }
    return records;
  } finally {
    connection.libvirt.freeStats(pointer);
  }
}

function toRecord(
  connection: Connection,
  domain: DomainPointer,
  uid: string,
  persistent: boolean,
  parameters: TextParameters,
): DomainRecord {
  const id = connection.libvirt.getId(domain);
  return {
    uid,
    name: connection.libvirt.getName(domain),
    runId: id === NO_ID ? undefined : id,
    state: numberOf(parameters, 'state.state'),
    reason: numberOf(parameters, 'state.reason'),
    persistent,
    statistics: id === NO_ID ? undefined : toStatistics(parameters),
  };
}

/** Undefined for a domain that was too busy to be asked: libvirt then leaves out what needs its job lock. */
export function toStatistics(parameters: TextParameters): VmStatistics | undefined {
  if (!parameters.has('balloon.rss')) return undefined;
  return {
    cpuTimeNs: bigintOf(parameters, 'cpu.time'),
    vcpus: numberOf(parameters, 'vcpu.current'),
    memoryActualBytes: numberOf(parameters, 'balloon.current') * 1024,
    memoryRssBytes: numberOf(parameters, 'balloon.rss') * 1024,
    diskReadBytes: sumOf(parameters, 'block', 'rd.bytes'),
    diskWriteBytes: sumOf(parameters, 'block', 'wr.bytes'),
    networkReceiveBytes: sumOf(parameters, 'net', 'rx.bytes'),
    networkTransmitBytes: sumOf(parameters, 'net', 'tx.bytes'),
    disks: disksOf(parameters),
  };
}

/** Those that libvirt could ask QEMU about. What it calls physical is what QEMU has found that the file takes. */
function disksOf(parameters: TextParameters): readonly DiskUse[] {
  const count = numberOf(parameters, 'block.count');
  return Array.from({ length: count }, (_, index) => `block.${index}`).flatMap((block) => {
    const target = parameters.get(`${block}.name`);
    if (typeof target !== 'string' || !parameters.has(`${block}.capacity`)) return [];
    const virtualBytes = numberOf(parameters, `${block}.capacity`);
    return [{ target, virtualBytes, allocatedBytes: numberOf(parameters, `${block}.physical`) }];
  });
}

function sumOf(parameters: TextParameters, group: string, figure: string): bigint {
  let sum = 0n;
  const count = numberOf(parameters, `${group}.count`);
  for (let index = 0; index < count; index += 1) {
    sum += bigintOf(parameters, `${group}.${index}.${figure}`);
  }
  return sum;
}

/** The records themselves do not say which domains vanish when they stop. */
async function listTransientUids(connection: Connection): Promise<ReadonlySet<string>> {
  const { libvirt } = connection;
  const list: Out<DomainListPointer> = [null];
  const count = await connection.check(
    libvirt.listAllDomains(connection.pointer, list, LIST_TRANSIENT),
  );
  const uids = new Set<string>();
  const [pointer] = list;
  if (pointer === null) return uids;
  const addresses = copyMemory(pointer, count * POINTER_BYTES);
  freeMemory(pointer);
  for (let index = 0; index < count; index += 1) {
    using domain = connection.adopt(
      addresses.readBigUInt64LE(index * POINTER_BYTES) as DomainPointer,
    );
    uids.add(domain.uid);
  }
  return uids;
}
