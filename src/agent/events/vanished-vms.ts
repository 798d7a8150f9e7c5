import type { MigrationBook } from '../migration/migration-book.ts';
import type { OperationBook } from '../operations/operation-book.ts';
import type { SeenVm } from '../reconcile/controller.ts';
import type { Ownership } from '../vms/ownership.ts';
import type { Happening } from './seen-change.ts';

export interface VanishedVmsOptions {
  readonly operations: Pick<OperationBook, 'openOf' | 'givenUpCreations'>;
  readonly migrations: Pick<MigrationBook, 'list' | 'outgoingOf'>;
  readonly ownership: Pick<Ownership, 'find'>;
}

/** What has become of VMs that are not here any more. */
export class VanishedVms {
  readonly #options: VanishedVmsOptions;

  constructor(options: VanishedVmsOptions) {
    this.#options = options;
  }

  /** `wait` until it can be told; undefined if something else tells it. */
  whatBecameOf(uid: string, seen: SeenVm | undefined): Happening | 'wait' | undefined {
    const { operations, migrations, ownership } = this.#options;
    if (operations.openOf(uid).length > 0 || migrations.outgoingOf(uid) !== undefined) {
      return 'wait';
    }
    const record = ownership.find(uid);
    if (record?.isDeleted === true) return undefined;
    if (record?.left !== undefined) return this.#handedOver(uid, record.left.toNode);
    const message =
      seen?.domain === undefined
        ? 'It is gone, and not by means of this agent: somebody has undefined it, or moved it away'
        : 'libvirt has it still, but not what this agent keeps with it: somebody has defined it anew without that, so that it is no VM of this agent any more';
    return { reason: 'Vanished', message };
  }

  #handedOver(uid: string, toNode: string): Happening | undefined {
    const filter = { activeOnly: false, id: undefined, vmUid: uid, labels: [] };
    const isMigrated = this.#options.migrations
      .list(filter)
      .some(({ role, phase, destinationNode }) => {
        return role === 'source' && phase === 'completed' && destinationNode === toNode;
      });
    // Its migration tells so.
    if (isMigrated) return undefined;
    return { reason: 'HandedOver', message: `Node ${toNode} owns it from now on`, cause: 'Left' };
  }
}

/** Whether a VM that was this node's is so no more: it is gone, or what is there has nothing of this agent's. */
export function isGone(seen: SeenVm | undefined): boolean {
  const { domain } = seen ?? {};
  return domain === undefined || (domain.isRead && domain.definition === undefined);
}
