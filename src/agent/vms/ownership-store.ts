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

/** The highest ownership epoch that this node has seen of a VM, and where the VM went. */
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
}

/** Who owns which VM, as far as this node knows; it outlives the VM's definition in the hypervisor. */
export class OwnershipStore {
  readonly #database: JournalDatabase;
  readonly #now: () => number;

  constructor(database: JournalDatabase, now: () => number = Date.now) {
    this.#database = database;
    this.#now = now;
  }

  /** Records who owns a VM. False if the record has a lower epoch than the kept one: then nothing has changed. */
  async put(record: OwnershipRecord): Promise<boolean> {
    const changed = await this.#database.run(
      `INSERT INTO ownership (vm_uid, vm_namespace, vm_name, epoch, left_epoch, left_to_node, updated_at_ms)
        VALUES ($uid, $namespace, $name, $epoch, $leftEpoch, $leftToNode, $nowMs)
        ON CONFLICT (vm_uid) DO UPDATE SET vm_namespace = excluded.vm_namespace,
          vm_name = excluded.vm_name, epoch = excluded.epoch, left_epoch = excluded.left_epoch,
          left_to_node = excluded.left_to_node, updated_at_ms = excluded.updated_at_ms
        WHERE excluded.epoch >= ownership.epoch`,
      {
        uid: record.uid,
        namespace: record.namespace,
        name: record.name,
        epoch: record.ownershipEpoch,
        leftEpoch: record.left?.epoch ?? null,
        leftToNode: record.left?.toNode ?? null,
        nowMs: this.#now(),
      },
    );
    return changed > 0;
  }

  async list(): Promise<readonly OwnershipRecord[]> {
    const rows = await this.#database.all(
      'SELECT * FROM ownership ORDER BY vm_namespace, vm_name, vm_uid',
    );
    return rows.map(fromRow);
  }

  /** Forgets a VM, and with it whatever would stop a stale copy. One that is not known counts as removed. */
  async remove(uid: string): Promise<void> {
    await this.#database.run('DELETE FROM ownership WHERE vm_uid = $uid', { uid });
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
  };
}
