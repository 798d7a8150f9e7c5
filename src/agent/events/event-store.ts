import type { JournalDatabase } from '../journal/journal-database.ts';
import type { Parameters, Row, Statement } from '../journal/journal-protocol.ts';
import type { EventFilter, EventRecord } from './event.ts';

/**
 * Times are milliseconds since 1970. `place` tells which is newer, and `touched` which has happened last, whatever was done to
 * the clock.
 */
export const CREATE_EVENT = `
  CREATE TABLE event (
    place INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    vm_uid TEXT NOT NULL,
    vm_namespace TEXT NOT NULL,
    vm_name TEXT NOT NULL,
    type TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    cause TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    first_at_ms INTEGER NOT NULL,
    last_at_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    operation_id TEXT NOT NULL,
    migration_id TEXT NOT NULL,
    same_as TEXT NOT NULL,
    touched INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX event_by_vm ON event (vm_uid, touched);
  CREATE INDEX event_by_touch ON event (touched);
`;

const FIELDS =
  `id vm_uid vm_namespace vm_name type reason message cause requested_by first_at_ms last_at_ms count operation_id
  migration_id same_as`.split(/\s+/);
/** What differs when an event has happened again. */
const CHANGING = ['message', 'last_at_ms', 'count', 'operation_id', 'migration_id', 'touched'];
const PUT = `INSERT INTO event (${FIELDS.join(', ')}, touched)
  VALUES (${FIELDS.map((name) => `$${name}`).join(', ')}, (SELECT ifnull(max(touched), 0) + 1 FROM event))
  ON CONFLICT (id) DO UPDATE SET ${CHANGING.map((name) => `${name} = excluded.${name}`).join(', ')}`;

/** How many are kept of one VM, how many in all, and for how long. */
export const KEPT_OF_VM = 100;
const KEPT = 10_000;
const KEPT_MS = 7 * 24 * 3_600_000;

const PRUNE_VM = `DELETE FROM event WHERE place IN
  (SELECT place FROM event WHERE vm_uid = $uid ORDER BY touched DESC LIMIT -1 OFFSET $keep)`;
const PRUNE_OLD = 'DELETE FROM event WHERE last_at_ms < $oldestMs';
const PRUNE_MANY = `DELETE FROM event WHERE place IN
  (SELECT place FROM event ORDER BY touched DESC LIMIT -1 OFFSET $keep)`;

/** A part of a list. */
interface EventPage {
  readonly records: readonly EventRecord[];
  /** Where the next page begins; undefined on the last one. */
  readonly next: number | undefined;
}

/** What has happened to the VMs of this node: the latest 100 of each and 10,000 in all, for 7 days. */
export class EventStore {
  readonly #database: JournalDatabase;

  constructor(database: JournalDatabase) {
    this.#database = database;
  }

  /** All of it or nothing: events with what is remembered by them, so that none is told twice. Refused on a disk that is full. */
  async write(records: readonly EventRecord[], others: readonly Statement[]): Promise<void> {
    const uids = new Set(records.map(({ vm }) => vm.uid));
    const prunes = [...uids].map((uid) => ({
      sql: PRUNE_VM,
      parameters: { uid, keep: KEPT_OF_VM },
    }));
    const puts = records.map((record) => ({ sql: PUT, parameters: toRow(record) }));
    const statements = [...puts, ...others, ...prunes];
    if (statements.length > 0) await this.#database.transaction(statements, { begins: true });
  }

  /** Forgets those that last happened long ago, and the oldest of too many. */
  async prune(nowMs: number, keep = KEPT, keepMs = KEPT_MS): Promise<void> {
    await this.#database.transaction([
      { sql: PRUNE_OLD, parameters: { oldestMs: nowMs - keepMs } },
      { sql: PRUNE_MANY, parameters: { keep } },
    ]);
  }

  /** Those that have happened last; the oldest first. */
  async listLatest(limit: number): Promise<readonly EventRecord[]> {
    const rows = await this.#database.all(
      'SELECT * FROM event ORDER BY touched DESC LIMIT $limit',
      { limit },
    );
    return rows.map(fromRow).toReversed();
  }

  /** By when they were first seen, the newest first, from `next` of the page before on. */
  async list(
    filter: EventFilter & { readonly sinceMs: number | undefined },
    page: { readonly after: number | undefined; readonly limit: number },
  ): Promise<EventPage> {
    const { vmUid, vmName, namespace, type, sinceMs } = filter;
    const { after, limit } = page;
    const rows = await this.#database.all(
      `SELECT * FROM event WHERE ($vmUid IS NULL OR vm_uid = $vmUid)
        AND ($namespace IS NULL OR vm_namespace = $namespace)
        AND ($name IS NULL OR vm_name = $name)
        AND ($type IS NULL OR type = $type)
        AND ($sinceMs IS NULL OR last_at_ms >= $sinceMs)
        AND ($after IS NULL OR place < $after)
        ORDER BY place DESC LIMIT $limit + 1`,
      {
        vmUid: vmUid ?? null,
        namespace: vmName?.namespace ?? namespace ?? null,
        name: vmName?.name ?? null,
        type: type ?? null,
        sinceMs: sinceMs ?? null,
        after: after ?? null,
        limit,
      },
    );
    const last = rows.length > limit ? rows[limit - 1] : undefined;
    const next = last === undefined ? undefined : Number(last['place']);
    return { records: rows.slice(0, limit).map(fromRow), next };
  }
}

function toRow(record: EventRecord): Parameters {
  return {
    id: record.id,
    vm_uid: record.vm.uid,
    vm_namespace: record.vm.namespace,
    vm_name: record.vm.name,
    type: record.type,
    reason: record.reason,
    message: record.message,
    cause: record.cause,
    requested_by: record.requestedBy,
    first_at_ms: record.firstAtMs,
    last_at_ms: record.lastAtMs,
    count: record.count,
    operation_id: record.operationId,
    migration_id: record.migrationId,
    same_as: record.sameAs,
  };
}

function fromRow(row: Row): EventRecord {
  return {
    id: String(row['id']),
    vm: {
      uid: String(row['vm_uid']),
      namespace: String(row['vm_namespace']),
      name: String(row['vm_name']),
    },
    type: row['type'] === 'warning' ? 'warning' : 'normal',
    reason: String(row['reason']),
    message: String(row['message']),
    cause: String(row['cause']),
    requestedBy: String(row['requested_by']),
    firstAtMs: Number(row['first_at_ms']),
    lastAtMs: Number(row['last_at_ms']),
    count: Number(row['count']),
    operationId: String(row['operation_id']),
    migrationId: String(row['migration_id']),
    sameAs: String(row['same_as']),
  };
}
