import { isBroken, type StorageReport } from '../node/storage-health.ts';
import type { VmsObstacle } from '../vms/listed-vms.ts';
import type { Obstacle } from './http-server.ts';

export interface ReadinessSources {
  readonly storageHealth: () => StorageReport;
  readonly hypervisorConnected: () => boolean;
  /** Why nothing can be told of VMs; undefined if it can. */
  readonly vmsObstacle: () => Pick<VmsObstacle, 'message'> | undefined;
  readonly apiListening: () => boolean;
}

/** What keeps the agent from serving its API. */
export function obstacles(sources: ReadinessSources): readonly Obstacle[] {
  const found: Obstacle[] = [];
  const storage = sources.storageHealth();
  if (isBroken(storage)) found.push({ check: 'journal', message: storage.message });
  if (!sources.hypervisorConnected()) {
    found.push({ check: 'hypervisor', message: 'The hypervisor is not connected' });
  }
  const vms = sources.vmsObstacle();
  if (vms !== undefined) found.push({ check: 'vms', message: vms.message });
  if (!sources.apiListening()) found.push({ check: 'api', message: 'The API does not listen yet' });
  return found;
}
