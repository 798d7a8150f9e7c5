import { AgentError } from '../../src/core/errors.ts';
import type {
  HypervisorStatistics,
  VmStatistics,
} from '../../src/drivers/hypervisor-statistics.ts';
import type { FakeHypervisorCalls } from './fake-hypervisor-calls.ts';
import type { FakeHypervisorWorld } from './fake-hypervisor-world.ts';
import { isActive, toVmStatistics } from './fake-vm.ts';

/** Statistics of VMs that are in memory only. */
export class FakeHypervisorStatistics implements HypervisorStatistics {
  readonly #calls: FakeHypervisorCalls;
  readonly #world: FakeHypervisorWorld;

  constructor(calls: FakeHypervisorCalls, world: FakeHypervisorWorld) {
    this.#calls = calls;
    this.#world = world;
  }

  async sample(signal: AbortSignal): Promise<ReadonlyMap<string, VmStatistics>> {
    try {
      return await this.#calls.perform('sample', '', signal, () => this.#sample());
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return new Map();
    }
  }

  #sample(): ReadonlyMap<string, VmStatistics> {
    const running = [...this.#world.vms.values()].filter(
      (vm) => isActive(vm) && vm.state !== 'incoming',
    );
    return new Map(running.map((vm) => [vm.live.uid, toVmStatistics(vm)]));
  }
}
