import { after, before, describe } from 'node:test';
import { hasReason } from '../../src/core/errors.ts';
import type { Hypervisor } from '../../src/drivers/hypervisor.ts';
import { testHypervisorConsoles } from './hypervisor-consoles-contract.ts';
import { testHypervisorDevices } from './hypervisor-devices-contract.ts';
import { testHypervisorDomains } from './hypervisor-domains-contract.ts';
import { testHypervisorEvents } from './hypervisor-events-contract.ts';
import { type HypervisorFixture, never, until } from './hypervisor-fixture.ts';
import { testHypervisorGuestAgent } from './hypervisor-guest-agent-contract.ts';
import { testHypervisorHost } from './hypervisor-host-contract.ts';
import { testHypervisorJobs } from './hypervisor-jobs-contract.ts';
import { testHypervisorStatistics } from './hypervisor-statistics-contract.ts';

/** What every hypervisor must do: the suites of all its contracts, on one fixture. */
export function testHypervisor(
  name: string,
  createFixture: () => Promise<HypervisorFixture>,
  skip: string | false = false,
): void {
  describe(`${name} as a hypervisor`, { skip }, () => {
    let fixture: HypervisorFixture | undefined;
    before(async () => {
      fixture = await createFixture();
      // A driver gives a call little time to wait for the first connection.
      const { source, destination } = fixture;
      await until('both are connected', () => areReachable(source, destination));
    });
    after(() => fixture?.[Symbol.asyncDispose]());
    const use = (): HypervisorFixture => {
      if (fixture === undefined) throw new Error('The fixture is not there yet');
      return fixture;
    };
    testHypervisorHost(use);
    testHypervisorDomains(use);
    testHypervisorDevices(use);
    testHypervisorStatistics(use);
    testHypervisorJobs(use);
    testHypervisorConsoles(use);
    testHypervisorGuestAgent(use);
    testHypervisorEvents(use);
  });
}

async function areReachable(...hypervisors: readonly Hypervisor[]): Promise<boolean> {
  try {
    await Promise.all(hypervisors.map(({ host }) => host.getInfo(never)));
    return true;
  } catch (error) {
    if (!hasReason(error, 'HYPERVISOR_UNREACHABLE', 'HYPERVISOR_TIMEOUT')) throw error;
    return false;
  }
}
