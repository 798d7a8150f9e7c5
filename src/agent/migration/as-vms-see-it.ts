import type { MigrationSummary } from '../vms/vm.ts';
import type { MovingVm } from '../vms/whereabouts.ts';
import type { Migration } from './migration.ts';
import type { MigrationRecord } from './migration-record.ts';

/** Of a VM that is moved from here. */
export function summaryOf(migration: Migration | undefined): MigrationSummary | undefined {
  if (migration === undefined) return undefined;
  const { id, destinationNode, startedAtMs, progress, phase, message } = migration;
  return {
    id,
    targetNode: destinationNode,
    startedAtMs,
    fractionDone: progress.fractionDone ?? 0,
    waitsFor: message,
    isQueued: phase === 'preparing',
  };
}

/** A VM that is on its way, in whichever direction. */
export function toMovingVm({
  vmUid,
  vmNamespace,
  vmName,
  role,
  peerNode,
}: MigrationRecord): MovingVm {
  return { uid: vmUid, namespace: vmNamespace, name: vmName, role, peerNode };
}
