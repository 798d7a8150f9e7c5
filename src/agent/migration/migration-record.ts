import { AgentError, type Reason } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { MigrationProgress, MigrationResult, MigrationSpec } from './migration.ts';
import type { MigrationPhase } from './states.ts';

/** One migration as this node takes part in it. */
export interface MigrationRecord {
  readonly id: string;
  readonly role: 'source' | 'destination';
  readonly vmUid: string;
  readonly vmNamespace: string;
  readonly vmName: string;
  /** What was asked for; a destination does not know it. */
  readonly spec: MigrationSpec | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly peerNode: string;
  readonly peerAddress: string | undefined;
  readonly phase: MigrationPhase;
  readonly cancelRequested: boolean;
  readonly reason: Reason | undefined;
  readonly message: string;
  readonly startedAtMs: number;
  /** Undefined while it is active. */
  readonly endedAtMs: number | undefined;
  readonly phases: readonly { readonly phase: MigrationPhase; readonly startedAtMs: number }[];
  readonly progress: MigrationProgress | undefined;
  readonly result: MigrationResult | undefined;
  /** Secret of the transfer; empty if it has none. Never log it. */
  readonly transferToken: string;
  /** The ownership epoch that the VM gets at the destination. */
  readonly ownershipEpoch: number;
  /** Destination: the VM as it will be here. */
  readonly definition: VmDefinition | undefined;
  /** Destination: what the VM has where it runs, which is not what its definition has pending. Version 1 did not record it. */
  readonly running: { readonly memoryBytes: number; readonly vcpus: number } | undefined;
  /** That its other node is off for good, so that what is here is the VM; undefined unless somebody has said so. */
  readonly otherNodeOff: OtherNodeOff | undefined;
  /** Source: since when it is one of those that are sent at once; until then nothing is begun, here or there. */
  readonly turnAtMs: number | undefined;
  /**
   * Source: what the hypervisor has the VM from, once it is copied and until the migration has ended; undefined of what earlier
   * versions have begun. Never log it.
   */
  readonly blueprint: string | undefined;
}

export interface OtherNodeOff {
  /** By whose word: the identity of a caller. */
  readonly saidBy: string;
  readonly atMs: number;
  /** With the other node went memory of the guest, so that its run is over. */
  readonly memoryLost: boolean;
}

/** What a list needs of a record. */
export type MigrationSummary = Omit<MigrationRecord, 'definition' | 'blueprint'>;

/** A new record in its first phase. */
export function newRecord(
  fields: Pick<
    MigrationRecord,
    | 'id'
    | 'role'
    | 'vmUid'
    | 'vmNamespace'
    | 'vmName'
    | 'spec'
    | 'labels'
    | 'peerNode'
    | 'peerAddress'
    | 'transferToken'
    | 'ownershipEpoch'
    | 'definition'
    | 'running'
  >,
): MigrationRecord {
  const nowMs = Date.now();
  return {
    ...fields,
    phase: 'preparing',
    cancelRequested: false,
    reason: undefined,
    message: '',
    startedAtMs: nowMs,
    endedAtMs: undefined,
    phases: [{ phase: 'preparing', startedAtMs: nowMs }],
    progress: undefined,
    result: undefined,
    otherNodeOff: undefined,
    turnAtMs: undefined,
    blueprint: undefined,
  };
}

/** The wish of a repeated request must be that of the first. Fails with MIGRATION_ALREADY_EXISTS. */
export function assertSameWish(record: MigrationRecord, wish: MigrationSpec): void {
  const { namespace, name, uid } = wish.vm;
  const sameVm =
    record.vmNamespace === namespace &&
    record.vmName === name &&
    (uid ?? record.vmUid) === record.vmUid;
  if (record.role === 'source' && sameVm && record.peerNode === wish.destinationNode) return;
  throw new AgentError(
    'MIGRATION_ALREADY_EXISTS',
    `Cannot start migration ${record.id}: that id was used for VM ${record.vmName} and node ${record.peerNode}; choose a new id`,
    { metadata: { migrationId: record.id } },
  );
}
