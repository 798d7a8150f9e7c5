import type { VmDefinition } from '../../src/core/vm-definition.ts';
import type { HypervisorDisk } from '../../src/drivers/hypervisor-domains.ts';
import type { JobStatistics } from '../../src/drivers/hypervisor-jobs.ts';
import type { FakeHypervisorBehaviour } from './fake-hypervisor-behaviour.ts';
import {
  type FakeHypervisorWorld,
  refuseWithoutKeys,
  refuseWithoutSeed,
} from './fake-hypervisor-world.ts';
import { type FakeJob, type FakeVm, newFakeVm } from './fake-vm.ts';

/** The receiving end of migrations between fake hypervisors. */
export class FakeHypervisorReceiver {
  readonly #world: FakeHypervisorWorld;
  readonly #behaviour: FakeHypervisorBehaviour;

  constructor(world: FakeHypervisorWorld, behaviour: FakeHypervisorBehaviour) {
    this.#world = world;
    this.#behaviour = behaviour;
  }

  receive(
    definition: VmDefinition,
    disks: readonly HypervisorDisk[] | undefined,
    job: FakeJob,
  ): FakeVm {
    refuseWithoutSeed(this.#world, definition);
    refuseWithoutKeys(this.#world, definition);
    const vm: FakeVm = { ...newFakeVm(definition), persistent: undefined, disks, job };
    this.#world.setState(vm, 'incoming', 'migration');
    this.#world.vms.set(definition.uid, vm);
    this.#world.makeFiles(vm);
    this.#world.tell(definition.uid, 'started', 'migration');
    return vm;
  }

  /** It runs here, now and at later starts. */
  arrive(vm: FakeVm, persistent: VmDefinition, statistics: JobStatistics): void {
    this.#keep(vm, persistent);
    vm.completedJob = statistics;
    if (!this.#world.openDisks(vm)) throw new Error('The disks of an arriving VM are locked');
    this.#world.setState(vm, 'running', 'migrated');
    this.#world.tell(vm.live.uid, 'resumed', 'migration');
  }

  /** It runs here, and lacks pages that its source still has. */
  arriveWithoutPages(vm: FakeVm, persistent: VmDefinition): void {
    this.#keep(vm, persistent);
    if (!this.#world.openDisks(vm)) throw new Error('The disks of an arriving VM are locked');
    this.#world.setState(vm, 'running', 'postcopy-failed');
    this.#world.tell(vm.live.uid, 'resumed', 'migration');
  }

  drop(vm: FakeVm): void {
    const { uid } = vm.live;
    vm.job = undefined;
    if (!this.#behaviour.keepsIncoming && this.#world.vms.get(uid) === vm) {
      this.#world.vms.delete(uid);
    }
  }

  failToRun(vm: FakeVm): void {
    vm.persistent = vm.live;
    vm.job = undefined;
    this.#world.stop(vm, 'failed');
  }

  #keep(vm: FakeVm, persistent: VmDefinition): void {
    vm.persistent = persistent;
    vm.job = undefined;
    this.#world.tell(vm.live.uid, 'defined');
  }
}
