import type { JournalHealth } from '../journal/journal.ts';
import type { Obstacle } from './http-server.ts';

export interface ReadinessSources {
  readonly journalHealth: () => JournalHealth;
  readonly hypervisorConnected: () => boolean;
  readonly vmsListed: () => boolean;
  readonly apiListening: () => boolean;
}

/** What keeps the agent from serving its API. */
export function obstacles(sources: ReadinessSources): readonly Obstacle[] {
  const found: Obstacle[] = [];
  const journal = sources.journalHealth();
  if (journal.reason === 'WriteFailed') found.push({ check: 'journal', message: journal.message });
  if (!sources.hypervisorConnected()) {
    found.push({ check: 'hypervisor', message: 'The hypervisor is not connected' });
  }
  if (!sources.vmsListed()) {
    const message = 'The VMs have not been listed and read since the agent started';
    found.push({ check: 'vms', message });
  }
  if (!sources.apiListening()) found.push({ check: 'api', message: 'The API does not listen yet' });
  return found;
}
