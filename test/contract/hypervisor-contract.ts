import { after, before, describe } from 'node:test';
import { testHypervisorDomains } from './hypervisor-domains-contract.ts';
import { testHypervisorEvents } from './hypervisor-events-contract.ts';
import type { HypervisorFixture } from './hypervisor-fixture.ts';
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
    });
    after(() => fixture?.[Symbol.asyncDispose]());
    const use = (): HypervisorFixture => {
      if (fixture === undefined) throw new Error('The fixture is not there yet');
      return fixture;
    };
    testHypervisorHost(use);
    testHypervisorDomains(use);
    testHypervisorStatistics(use);
    testHypervisorJobs(use);
    testHypervisorEvents(use);
  });
}
