import type { HypervisorConsoles } from './hypervisor-consoles.ts';
import type { HypervisorDevices } from './hypervisor-devices.ts';
import type { HypervisorDomains } from './hypervisor-domains.ts';
import type { HypervisorEvents } from './hypervisor-events.ts';
import type { HypervisorGuestAgent } from './hypervisor-guest-agent.ts';
import type { HypervisorHost } from './hypervisor-host.ts';
import type { HypervisorJobs } from './hypervisor-jobs.ts';
import type { HypervisorStatistics } from './hypervisor-statistics.ts';

/**
 * Runs VMs on this node; a contract for each capability. Every method fails with HYPERVISOR_UNREACHABLE while there is
 * no connection, with HYPERVISOR_TIMEOUT when there is no answer in time, and with VM_NOT_FOUND for an unknown uid
 * unless it says otherwise. After the first two, and after an abort, a change may or may not have happened, or happen yet.
 */
export interface Hypervisor extends AsyncDisposable {
  readonly host: HypervisorHost;
  readonly domains: HypervisorDomains;
  readonly devices: HypervisorDevices;
  readonly statistics: HypervisorStatistics;
  readonly jobs: HypervisorJobs;
  readonly consoles: HypervisorConsoles;
  readonly guestAgent: HypervisorGuestAgent;
  readonly events: HypervisorEvents;
}
