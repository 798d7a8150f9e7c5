import { AgentError } from '../../src/core/errors.ts';
import {
  changeKeyOf,
  presentDefinition,
  runningDifferences,
  withLiveChanges,
} from '../../src/core/live-spec.ts';
import type { FieldDifference } from '../../src/core/resources/field-changes.ts';
import type { Volume } from '../../src/core/resources/volume.ts';
import type { HypervisorDevices, LiveChange } from '../../src/drivers/hypervisor-devices.ts';
import { effectOf } from '../../src/drivers/libvirt/domain-xml/domain-parts.ts';
import type { FakeHypervisorBehaviour } from './fake-hypervisor-behaviour.ts';
import type { FakeHypervisorCalls } from './fake-hypervisor-calls.ts';
import type { FakeHypervisorWorld } from './fake-hypervisor-world.ts';
import { type FakeVm, isActive, toHypervisorVm } from './fake-vm.ts';

/** Changes VMs in memory while they run. */
export class FakeHypervisorDevices implements HypervisorDevices {
  /** Sizes that disks were given while their VMs ran, by their paths. */
  readonly sizes = new Map<string, number>();
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

  changeLive(uid: string, signal: AbortSignal): Promise<readonly LiveChange[]> {
    return this.#calls.perform('changeLive', uid, signal, () => {
      const vm = this.#world.get(uid);
      const { live, persistent } = vm;
      if (!isActive(vm) || persistent === undefined || persistent.newer !== undefined) return [];
      const { volumes = [], networks = [] } = live.spec.template.spec;
      const present = {
        volumes: volumes.map(({ name }) => name),
        networks: networks.map(({ name }) => name),
      };
      const changes = runningDifferences(live, persistent, present).filter(
        (change) => effectOf(change.field, change, toHypervisorVm(vm).sizes) === 'live',
      );
      const keeps = this.#behaviour.keepsDevices || vm.state === 'paused';
      const problemOf = ({ after }: (typeof changes)[number]) =>
        after === undefined ? undefined : (this.#behaviour.deviceProblem ?? missingFile(after));
      const done = changes.filter((change) =>
        lackOf(change, vm, keeps) !== undefined
          ? false
          : change.after === undefined
            ? !keeps || change.before === 'down'
            : problemOf(change) === undefined,
      );
      vm.live = withLiveChanges(presentDefinition(live, persistent, present), persistent, done);
      const open = changes.filter((change) => !done.includes(change) && change.after === undefined);
      vm.asked = [...vm.asked, ...open];
      if (done.length > 0) this.#world.tell(uid, 'defined');
      return changes.map((change): LiveChange => {
        const { field } = change;
        const key = changeKeyOf(change);
        if (done.includes(change)) return { field, key, state: 'done' };
        const problem = problemOf(change);
        return problem === undefined
          ? { field, key, state: 'asked', ...lackOf(change, vm, keeps) }
          : { field, key, state: 'failed', problem };
      });
    });
  }

  resizeDisk(uid: string, path: string, bytes: number, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('resizeDisk', uid, signal, () => {
      const vm = this.#world.get(uid);
      const { volumes } = toHypervisorVm(vm);
      if (!isActive(vm) || !volumes.some((volume) => volume.path === path)) {
        throw new AgentError('VM_NOT_RUNNING', `${uid} does not have ${path} now`);
      }
      if ((this.sizes.get(path) ?? 0) > bytes) {
        throw new AgentError('INVALID_SPEC', `${path} is larger`);
      }
      this.sizes.set(path, bytes);
    });
  }
}

/** What the guest has not done of a change of a size. */
function lackOf(
  { field, after }: FieldDifference,
  { guest }: FakeVm,
  keeps: boolean,
): Pick<LiveChange, 'lack' | 'cpusOnline'> | undefined {
  if (field.endsWith('.resources.memory') && (keeps || (guest?.offlineMemoryBytes ?? 0) > 0)) {
    return { lack: 'it has not taken it, or given it back' };
  }
  if (!field.endsWith('.resources.cpu') || guest === undefined || guest.offlineCpus === 0) {
    return undefined;
  }
  const cpusOnline = Number(after) - guest.offlineCpus;
  return { lack: `${String(after)} CPUs, ${cpusOnline} online`, cpusOnline };
}

function missingFile(device: unknown): AgentError | undefined {
  const path = (device as Partial<Volume>).source?.file?.path;
  if (path?.startsWith('/missing/') !== true) return undefined;
  return new AgentError('IMAGE_NOT_FOUND', `Cannot access ${path}`);
}
