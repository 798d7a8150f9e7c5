import { isDeepStrictEqual } from 'node:util';
import { fromStoredJson, toStoredJson } from '../../src/agent/journal/stored-json.ts';
import { isEjected, machineToStart, withEjections } from '../../src/core/ejected-media.ts';
import { AgentError } from '../../src/core/errors.ts';
import { memoryBytesOf } from '../../src/core/resources/machine-amounts.ts';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import { withMedium } from '../../src/core/vm-medium.ts';
import type {
  AdoptableVm,
  HypervisorDomains,
  HypervisorVm,
  VmFacts,
} from '../../src/drivers/hypervisor-domains.ts';
import { effectOf } from '../../src/drivers/libvirt/domain-xml/domain-parts.ts';
import type { FakeHypervisorBehaviour } from './fake-hypervisor-behaviour.ts';
import type { FakeHypervisorCalls } from './fake-hypervisor-calls.ts';
import {
  type FakeHypervisorWorld,
  refuseIncoming,
  refuseStarting,
  refuseStopped,
  refuseWithoutKeys,
  refuseWithoutSeed,
} from './fake-hypervisor-world.ts';
import { type FakeVm, isActive, letGoOfAsked, newFakeVm } from './fake-vm.ts';

interface Blueprint extends Pick<FakeVm, 'drift' | 'disks'> {
  readonly definition: VmDefinition;
}

/** VMs in memory. */
export class FakeHypervisorDomains implements HypervisorDomains {
  readonly effectOf = effectOf;
  readonly #calls: FakeHypervisorCalls;
  readonly #world: FakeHypervisorWorld;
  readonly #behaviour: FakeHypervisorBehaviour;

  constructor(
    calls: FakeHypervisorCalls,
    world: FakeHypervisorWorld,
    behaviour: FakeHypervisorBehaviour,
  ) {
    this.#calls = calls;
    this.#world = world;
    this.#behaviour = behaviour;
  }

  list(signal: AbortSignal): Promise<readonly HypervisorVm[]> {
    const world = this.#world;
    return this.#calls.perform('list', '', signal, () =>
      [...world.vms.values()].map((vm) => world.list(vm)),
    );
  }

  get told(): number {
    return this.#world.told;
  }

  expire(uid: string): void {
    this.#world.told += 1;
    const vm = this.#world.vms.get(uid);
    if (vm !== undefined) vm.isDriftListed = true;
  }

  find(uid: string, signal: AbortSignal): Promise<HypervisorVm | undefined> {
    return this.#calls.perform('find', uid, signal, () => {
      const vm = this.#world.vms.get(uid);
      if (this.#world.stuck.has(uid)) throw new AgentError('HYPERVISOR_TIMEOUT', `${uid} is stuck`);
      return vm && this.#world.describe(vm);
    });
  }

  define(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('define', definition.uid, signal, () => this.#define(definition));
  }

  readBlueprint(uid: string, signal: AbortSignal): Promise<string | undefined> {
    return this.#calls.perform('readBlueprint', uid, signal, () => {
      const vm = this.#world.vms.get(uid);
      if (vm === undefined) return undefined;
      const { live, persistent = live, drift, disks } = vm;
      return toStoredJson({ definition: persistent, drift, disks });
    });
  }

  defineAgain(uid: string, blueprint: string, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('defineAgain', uid, signal, () => {
      const { definition, drift, disks } = fromStoredJson(blueprint) as Blueprint;
      this.#define(definition);
      Object.assign(this.#world.get(uid), { drift, disks });
    });
  }

  findAdoptable(uid: string, signal: AbortSignal): Promise<AdoptableVm | undefined> {
    return this.#calls.perform('findAdoptable', uid, signal, () => {
      const vm = this.#world.vms.get(uid);
      if (vm === undefined) return undefined;
      const { live, persistent = live, job } = vm;
      return {
        machine: persistent.spec.template.spec,
        kept: [],
        isOther: false,
        isAutostarted: false,
        isSaved: vm.stateReason === 'saved',
        isBusy: job !== undefined,
        ...this.#world.foreign.get(uid),
      };
    });
  }

  adopt(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { uid } = definition;
    return this.#calls.perform('adopt', uid, signal, () => {
      const vm = this.#world.get(uid);
      const { live, persistent = live } = vm;
      const facts = this.#world.foreign.get(uid);
      const machine = persistent.spec.template.spec;
      if (facts !== undefined && !isDeepStrictEqual(machine, definition.spec.template.spec)) {
        throw new AgentError('VM_BUSY', `VM ${uid} has changed`);
      }
      const isSame = isDeepStrictEqual(live.spec.template.spec, machine);
      vm.live = isSame
        ? definition
        : { ...definition, spec: { ...definition.spec, template: live.spec.template } };
      if (vm.persistent !== undefined) vm.persistent = definition;
      vm.kept = facts?.kept ?? vm.kept;
      this.#world.foreign.delete(uid);
      this.#world.tell(uid, 'defined');
    });
  }

  changeMedium(
    definition: VmDefinition,
    volumeName: string,
    { isForced }: { readonly isForced: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { uid } = definition;
    return this.#calls.perform('changeMedium', uid, signal, () => {
      const vm = this.#world.get(uid);
      if (isActive(vm)) {
        refuseWithoutDrive(vm, volumeName);
        refuseIncoming(vm);
        if (this.#behaviour.locksTrays && !isForced) {
          throw new AgentError('DEVICE_IN_USE', `The guest holds ${volumeName} shut`);
        }
        const { volumes } = machineToStart(definition);
        const source = volumes?.find(({ name }) => name === volumeName)?.source;
        const changed = withEjections(withMedium(vm.live, volumeName, source), definition.ejected);
        vm.openDrives.delete(volumeName);
        vm.live = isDeepStrictEqual(changed.spec, definition.spec) ? definition : changed;
      }
      this.#define(definition);
    });
  }

  keepEjected(definition: VmDefinition, volumeName: string, signal: AbortSignal): Promise<boolean> {
    const { uid, ejected = {} } = definition;
    return this.#calls.perform('keepEjected', uid, signal, () => {
      const vm = this.#world.get(uid);
      const { volumes = [] } = machineToStart(vm.live);
      const isIn = volumes.some(
        (volume) => volume.name === volumeName && isEjected({ ejected }, volume),
      );
      if (!isActive(vm) || !vm.openDrives.has(volumeName) || !isIn) return false;
      refuseIncoming(vm);
      vm.openDrives.delete(volumeName);
      vm.live = withEjections(vm.live, ejected);
      if (vm.persistent !== undefined) vm.persistent = withEjections(vm.persistent, ejected);
      return true;
    });
  }

  setFacts(uid: string, facts: Partial<VmFacts>, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('setFacts', uid, signal, () => {
      const vm = this.#world.get(uid);
      if (this.#world.foreign.has(uid)) throw new AgentError('VM_NOT_FOUND', 'It is not ours');
      vm.live = { ...vm.live, ...facts };
      if (vm.persistent !== undefined) vm.persistent = { ...vm.persistent, ...facts };
    });
  }

  start(uid: string, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('start', uid, signal, () => {
      const vm = this.#world.get(uid);
      refuseIncoming(vm);
      refuseStarting(vm);
      if (isActive(vm)) return;
      refuseWithoutSeed(this.#world, vm.persistent ?? vm.live);
      refuseWithoutKeys(this.#world, vm.persistent ?? vm.live);
      vm.live = vm.persistent ?? vm.live;
      vm.cpuTimeNs = 0n;
      vm.runningSinceMs = Date.now();
      refuseLocked(this.#world, vm);
      this.#world.makeFiles(vm);
      vm.bootBytes = memoryBytesOf(vm.live.spec.template.spec);
      this.#world.setState(vm, 'running', 'booted');
      this.#world.tell(uid, 'started');
    });
  }

  shutdown(uid: string, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('shutdown', uid, signal, () => {
      const vm = this.#world.get(uid);
      if (isActive(vm) && !this.#behaviour.slowShutdown) this.#world.stop(vm, 'shutdown');
    });
  }

  destroy(uid: string, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('destroy', uid, signal, () => {
      const vm = this.#world.get(uid);
      if (isActive(vm)) this.#world.stop(vm, 'destroyed');
    });
  }

  suspend(uid: string, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('suspend', uid, signal, () => {
      const vm = this.#world.get(uid);
      refuseStopped(vm);
      if (vm.state === 'paused') return;
      this.#world.setState(vm, 'paused', 'user');
      this.#world.tell(uid, 'suspended');
    });
  }

  resume(uid: string, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('resume', uid, signal, () => {
      const vm = this.#world.get(uid);
      refuseIncoming(vm);
      refuseStopped(vm);
      if (vm.state === 'running') return;
      refuseLocked(this.#world, vm);
      const { stateReason } = vm;
      const reason = stateReason === 'guest-asleep' ? 'woken' : 'resumed';
      if (!this.#behaviour.keepsDevices) letGoOfAsked(vm);
      this.#world.setState(vm, 'running', reason);
      this.#world.tell(uid, 'resumed');
      if (!this.#behaviour.stopsAgain) return;
      this.#world.setState(vm, 'paused', stateReason);
      this.#world.tell(uid, 'suspended');
    });
  }

  reset(uid: string, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('reset', uid, signal, () => {
      const vm = this.#world.get(uid);
      refuseIncoming(vm);
      refuseStopped(vm);
      this.#world.tell(uid, 'rebooted');
    });
  }

  reboot(uid: string, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('reboot', uid, signal, () => {
      const vm = this.#world.get(uid);
      if (vm.state !== 'running') throw new AgentError('VM_NOT_RUNNING', `${uid} does not run`);
      if (!this.#behaviour.slowShutdown) this.#world.tell(uid, 'rebooted');
    });
  }

  undefine(uid: string, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('undefine', uid, signal, () => {
      const vm = this.#world.vms.get(uid);
      if (vm === undefined) return;
      if (isActive(vm)) throw new AgentError('VM_RUNNING', `Cannot undefine VM ${uid}: it runs`);
      this.#world.vms.delete(uid);
      this.#world.files.delete(uid);
      this.#world.seeds.delete(uid);
      this.#world.diskKeys.delete(uid);
      this.#world.tell(uid, 'undefined');
    });
  }

  putSeed(uid: string, image: Uint8Array, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('putSeed', uid, signal, () => {
      this.#world.seeds.set(uid, image);
    });
  }

  hasSeed(uid: string, signal: AbortSignal): Promise<boolean> {
    return this.#calls.perform('hasSeed', uid, signal, () => this.#world.seeds.has(uid));
  }

  putDiskKeys(
    uid: string,
    keys: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void> {
    return this.#calls.perform('putDiskKeys', uid, signal, () => {
      const { diskKeys } = this.#world;
      if (Object.keys(keys).length > 0) diskKeys.set(uid, { ...diskKeys.get(uid), ...keys });
    });
  }

  listFiles(signal: AbortSignal): Promise<readonly string[]> {
    const { files, seeds, diskKeys } = this.#world;
    return this.#calls.perform('listFiles', '', signal, () => [
      ...new Set([...files, ...seeds.keys(), ...diskKeys.keys()]),
    ]);
  }

  removeFiles(uid: string, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('removeFiles', uid, signal, () => {
      this.#world.files.delete(uid);
      this.#world.seeds.delete(uid);
      this.#world.diskKeys.delete(uid);
    });
  }

  #define(definition: VmDefinition): void {
    const { uid, name } = definition;
    if (this.#namesakeOf(definition) !== undefined) {
      throw new AgentError('VM_ALREADY_EXISTS', `Cannot define VM ${name}: the name is taken`);
    }
    const vm = this.#world.vms.get(uid);
    if (vm === undefined) {
      this.#world.vms.set(uid, newFakeVm(definition));
    } else {
      refuseNewer(vm.persistent ?? vm.live, definition);
      vm.persistent = definition;
      vm.drift = [];
      if (!isActive(vm)) vm.live = definition;
    }
    this.#world.tell(uid, 'defined');
  }

  #namesakeOf({ uid, namespace, name }: VmDefinition): FakeVm | undefined {
    return [...this.#world.vms.values()].find(
      ({ live }) => live.uid !== uid && live.name === name && live.namespace === namespace,
    );
  }
}

function refuseWithoutDrive({ live }: FakeVm, volumeName: string): void {
  const volumes = live.spec.template.spec.volumes ?? [];
  if (volumes.some(({ name }) => name === volumeName)) return;
  throw new AgentError('DEVICE_IN_USE', `The running VM has no drive ${volumeName}`);
}

function refuseLocked(world: FakeHypervisorWorld, vm: FakeVm): void {
  if (world.openDisks(vm)) return;
  throw new AgentError('IMAGE_IN_USE', 'Failed to get "write" lock');
}

function refuseNewer(...definitions: readonly VmDefinition[]): void {
  for (const { name, newer } of definitions) {
    if (newer === undefined) continue;
    throw new AgentError('VM_SPEC_NEWER', `Cannot change VM ${name}: a newer agent has written it`);
  }
}
