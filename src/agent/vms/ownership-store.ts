import type { JournalDatabase } from '../journal/journal-database.ts';
import type { Row } from '../journal/journal-protocol.ts';

/** Times are milliseconds since 1970. */
export const CREATE_OWNERSHIP = `
  CREATE TABLE ownership (
    vm_uid TEXT PRIMARY KEY,
    vm_namespace TEXT NOT NULL,
    vm_name TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    left_epoch INTEGER,
    left_to_node TEXT,
    updated_at_ms INTEGER NOT NULL,
    CHECK ((left_epoch IS NULL) = (left_to_node IS NULL))
  ) STRICT;
`;

/** Deleted VMs were forgotten at once before. */
export const ADD_DELETED = `
  ALTER TABLE ownership ADD COLUMN is_deleted INTEGER NOT NULL DEFAULT 0 CHECK (is_deleted IN (0, 1));
`;

/** Of VMs that came earlier nothing is waited for. */
export const ADD_UNCONFIRMED = `
  ALTER TABLE ownership ADD COLUMN unconfirmed_node TEXT;
  ALTER TABLE ownership ADD COLUMN unconfirmed_migration TEXT;
`;

/** Whoever was confirmed by somebody's word before does not ask any more. */
export const ADD_SETTLED = `
  ALTER TABLE ownership ADD COLUMN unconfirmed_settled INTEGER NOT NULL DEFAULT 0
    CHECK (unconfirmed_settled IN (0, 1));
`;

/** What is not known of where a VM came from. */
export interface Unconfirmed {
  readonly fromNode: string;
  /** Empty of a copy whose record was lost: then `fromNode` are those nodes that may have the VM by now. */
  readonly migrationId: string;
  /** Somebody has said that the node is off for good: the VM may be started and moved on, until that node says otherwise. */
  readonly isSettled?: boolean;
  /** That node answers, and knows nothing of the VM. Not recorded, as it is heard again. */
  readonly isForgotten?: boolean;
}

/** The highest ownership epoch that this node has seen of a VM, and what became of the VM. */
export interface OwnershipRecord {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly ownershipEpoch: number;
  /**
   * Set when the VM has left this node: whoever starts a copy of it here that has no higher epoch than this
   * starts a second one.
   */
  readonly left: { readonly epoch: number; readonly toNode: string } | undefined;
  /** It was deleted here. Kept for a while, for whoever asks. */
  readonly isDeleted: boolean;
  /** Set until the node that the VM came from has said that it has given the VM up: it may have been told to take it back. */
  readonly unconfirmed?: Unconfirmed | undefined;
}

const PUT = `INSERT INTO ownership
    (vm_uid, vm_namespace, vm_name, epoch, left_epoch, left_to_node, is_deleted, updated_at_ms,
    unconfirmed_node, unconfirmed_migration, unconfirmed_settled)
  VALUES ($uid, $namespace, $name, $epoch, $leftEpoch, $leftToNode, $isDeleted, $nowMs,
    $unconfirmedNode, $unconfirmedMigration, $unconfirmedSettled)
  ON CONFLICT (vm_uid) DO UPDATE SET vm_namespace = excluded.vm_namespace,
    vm_name = excluded.vm_name, epoch = excluded.epoch, left_epoch = excluded.left_epoch,
    left_to_node = excluded.left_to_node, is_deleted = excluded.is_deleted,
    updated_at_ms = excluded.updated_at_ms, unconfirmed_node = excluded.unconfirmed_node,
    unconfirmed_migration = excluded.unconfirmed_migration,
    unconfirmed_settled = excluded.unconfirmed_settled
  WHERE excluded.epoch >= ownership.epoch OR ownership.is_deleted = 1`;

const PRUNE = `DELETE FROM ownership WHERE is_deleted = 1 AND (updated_at_ms < $oldestMs OR vm_uid IN
    (SELECT vm_uid FROM ownership WHERE is_deleted = 1
      ORDER BY updated_at_ms DESC, rowid DESC LIMIT -1 OFFSET $keep))
  RETURNING vm_uid`;

/** Deleted VMs are remembered for as long as anybody may ask again, and no more of them than fit. */
const KEPT_DELETED = 10_000;
const KEPT_DELETED_MS = 7 * 24 * 3_600_000;

/** Who owns which VM, as far as this node knows; it outlives the VM's definition in the hypervisor. */
export class OwnershipStore {
  readonly #database: JournalDatabase;
  readonly #now: () => number;
  readonly #keepDeleted: number;

  constructor(
    database: JournalDatabase,
    now: () => number = Date.now,
    keepDeleted: number = KEPT_DELETED,
  ) {
    this.#database = database;
    this.#now = now;
    this.#keepDeleted = keepDeleted;
  }

  /**
   * Records who owns a VM. False if the record has a lower epoch than the kept one: then nothing has changed. One that was
   * deleted begins anew.
   */
  async put(record: OwnershipRecord): Promise<boolean> {
    return (await this.#database.run(PUT, this.#toRow(record))) > 0;
  }

  /** The newest comes last. */
  async list(): Promise<readonly OwnershipRecord[]> {
    const rows = await this.#database.all('SELECT * FROM ownership ORDER BY updated_at_ms, rowid');
    return rows.map(fromRow);
  }

  /** Puts back what was known of a VM, or that nothing was, whichever epoch is kept now. */
  async restore(uid: string, record: OwnershipRecord | undefined): Promise<void> {
    await this.#database.transaction([
      { sql: 'DELETE FROM ownership WHERE vm_uid = $uid', parameters: { uid } },
      ...(record === undefined ? [] : [{ sql: PUT, parameters: this.#toRow(record) }]),
    ]);
  }

  /** Forgets VMs that were deleted long ago, and returns their uids. */
  async prune(): Promise<readonly string[]> {
    const oldestMs = this.#now() - KEPT_DELETED_MS;
    const rows = await this.#database.all(PRUNE, { oldestMs, keep: this.#keepDeleted });
    return rows.map((row) => String(row['vm_uid']));
  }

  #toRow(record: OwnershipRecord) {
    return {
      uid: record.uid,
      namespace: record.namespace,
      name: record.name,
      epoch: record.ownershipEpoch,
      leftEpoch: record.left?.epoch ?? null,
      leftToNode: record.left?.toNode ?? null,
      isDeleted: record.isDeleted ? 1 : 0,
      nowMs: this.#now(),
      unconfirmedNode: record.unconfirmed?.fromNode ?? null,
      unconfirmedMigration: record.unconfirmed?.migrationId ?? null,
      unconfirmedSettled: record.unconfirmed?.isSettled === true ? 1 : 0,
    };
  }
}

function fromRow(row: Row): OwnershipRecord {
  return {
    uid: String(row['vm_uid']),
    namespace: String(row['vm_namespace']),
    name: String(row['vm_name']),
    ownershipEpoch: Number(row['epoch']),
    left:
      row['left_epoch'] === null
        ? undefined
        : { epoch: Number(row['left_epoch']), toNode: String(row['left_to_node']) },
    isDeleted: row['is_deleted'] === 1,
    ...(row['unconfirmed_node'] !== null && {
      unconfirmed: {
        fromNode: String(row['unconfirmed_node']),
        migrationId: String(row['unconfirmed_migration']),
        ...(row['unconfirmed_settled'] === 1 && { isSettled: true }),
      },
    }),
  };
}
