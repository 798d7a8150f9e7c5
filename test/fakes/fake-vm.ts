import { machineToStart } from '../../src/core/ejected-media.ts';
import type { FieldDifference } from '../../src/core/resources/field-changes.ts';
import { macOf } from '../../src/core/resources/mac-address.ts';
import {
  maxMemoryBytesOf,
  maxVcpusOf,
  memoryBytesOf,
  vcpusOf,
} from '../../src/core/resources/machine-amounts.ts';
import { bridgeOf, modelOf } from '../../src/core/resources/network.ts';
import { formatOf, isReadOnly, pathOf, type Volume } from '../../src/core/resources/volume.ts';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import { toDefinitionText } from '../../src/core/vm-definition-text.ts';
import {
  type DriftedPart,
  type HypervisorDisk,
  type HypervisorVm,
  hypervisorNameOf,
  type LiveSizes,
  type VmRunState,
  type VmStateReason,
} from '../../src/drivers/hypervisor-domains.ts';
import type { GuestCommand, GuestCommandEnd } from '../../src/drivers/hypervisor-guest-agent.ts';
import type { JobStatistics } from '../../src/drivers/hypervisor-jobs.ts';
import type { VmStatistics } from '../../src/drivers/hypervisor-statistics.ts';
import { placeVolumes } from '../../src/drivers/libvirt/domain-xml/parts/volume-nodes.ts';

const MIB = 1024 * 1024;

/** A VM of the fake hypervisor. */
export interface FakeVm {
  /** What it was started with; for a VM that is off the same as `persistent`. */
  live: VmDefinition;
  /** What the next start takes; undefined for a VM that vanishes when it stops. */
  persistent: VmDefinition | undefined;
  /** What of it no manifest can say, once it was adopted. */
  kept: readonly string[];
  /** What of it somebody else has changed. */
  drift: readonly DriftedPart[];
  /** Of some changes nobody is told, and listings find them only in time. */
  isDriftListed: boolean;
  /** Where they are not simply what its volumes say. */
  disks: readonly HypervisorDisk[] | undefined;
  /** What its guest was asked to let go of and has not, as fields of its definition. */
  asked: readonly FieldDifference[];
  /** Drives that its guest has opened, with what is in them. */
  readonly openDrives: Set<string>;
  /** What memory its guest has begun with; undefined where it begins with what it has. */
  bootBytes: number | undefined;
  /** As its run has it. */
  runningSinceMs: number | undefined;
  /** Undefined for one without a channel for it. */
  guest: FakeGuest | undefined;
  state: VmRunState;
  stateReason: VmStateReason;
  cpuTimeNs: bigint;
  job: FakeJob | undefined;
  completedJob: JobStatistics | undefined;
}

/** What the guest agent of a VM would tell and do. */
export interface FakeGuest {
  isConnected: boolean;
  isFrozen: boolean;
  /** What of its CPUs and its memory it does not use. */
  offlineCpus: number;
  offlineMemoryBytes: number;
  /** How often its clock was set. */
  clockSets: number;
  readonly passwords: Map<string, string>;
  readonly commands: { readonly pid: number; readonly words: readonly string[] }[];
  /** How programs end; they go on for as long as it gives nothing. */
  runs: (command: GuestCommand) => Partial<GuestCommandEnd> | undefined;
}

export interface FakeJob {
  readonly operation: 'migration-in' | 'migration-out';
  /** Iterations done; the switchover follows the last. */
  iteration: number;
  readonly iterations: number;
  maxDowntimeMs: number | undefined;
  /** The guest has been stopped; there is no way back. */
  isSwitchingOver?: boolean;
  /** Ends it, the VM then running on here. */
  readonly cancel: () => void;
}

export function newFakeVm(definition: VmDefinition): FakeVm {
  return {
    live: definition,
    persistent: definition,
    kept: [],
    drift: [],
    isDriftListed: true,
    disks: undefined,
    asked: [],
    openDrives: new Set(),
    bootBytes: undefined,
    runningSinceMs: undefined,
    guest: undefined,
    state: 'stopped',
    stateReason: 'unknown',
    cpuTimeNs: 0n,
    job: undefined,
    completedJob: undefined,
  };
}

/** Its guest does what it was asked for, whatever is wanted by now. */
export function letGoOfAsked(vm: FakeVm): void {
  const gone = vm.asked.map(({ before }) => (before as { readonly name: string }).name);
  const { spec } = vm.live;
  const { volumes, networks, ...machine } = spec.template.spec;
  const left = {
    ...machine,
    ...(volumes && { volumes: volumes.filter(({ name }) => !gone.includes(name)) }),
    ...(networks && { networks: networks.filter(({ name }) => !gone.includes(name)) }),
  };
  vm.live = { ...vm.live, spec: { ...spec, template: { ...spec.template, spec: left } } };
  vm.asked = [];
}

export function isActive(vm: FakeVm): boolean {
  return vm.state !== 'stopped' && vm.state !== 'crashed';
}

export function toHypervisorVm(vm: FakeVm): HypervisorVm {
  const { live, persistent, drift, state, stateReason, job } = vm;
  const definition = persistent ?? live;
  const isLost = persistent === undefined && job?.operation !== 'migration-in';
  const isChanged = toDefinitionText(live) !== toDefinitionText(definition);
  return {
    uid: live.uid,
    hypervisorName: hypervisorNameOf(live),
    state,
    stateReason,
    persistent: persistent !== undefined,
    isRead: true,
    definition,
    drift: isLost ? [...drift, 'persistence'] : drift,
    ...(vm.kept.length > 0 && { kept: vm.kept }),
    liveDefinition: isChanged ? live : undefined,
    runningSinceMs: isActive(vm) ? vm.runningSinceMs : undefined,
    accelerator: 'tcg',
    machineType: 'pc-q35-7.2',
    vcpus: vcpusOf(live.spec.template.spec),
    cpu: isActive(vm) ? 'qemu64' : '',
    memoryBytes: memoryBytesOf(live.spec.template.spec),
    ...(isActive(vm) && { sizes: sizesOf(vm) }),
    hugepages: live.spec.template.spec.memory?.hugepages,
    volumes: placeVolumes(machineToStart(live).volumes ?? []).map((volume) => ({
      name: volume.name,
      target: volume.target,
      path: pathOf(volume),
      format: formatOf(volume),
      ...(vm.openDrives.has(volume.name) && { isOpen: true }),
    })),
    disks: disksOf(vm),
    interfaces: interfacesOf(vm),
    consoleLogPath: `/var/log/fake/${live.uid}.log`,
    ...(vm.guest && { guestAgent: agentState(vm) }),
  };
}

/** Without KVM no CPU is taken away. */
function sizesOf({ live, bootBytes }: FakeVm): LiveSizes {
  const machine = live.spec.template.spec;
  const given = vcpusOf(machine);
  const givenBytes = memoryBytesOf(machine);
  const most = Math.max(maxMemoryBytesOf(machine), bootBytes ?? givenBytes);
  return {
    vcpus: { given, least: given, most: maxVcpusOf(machine) },
    memory: { givenBytes, leastBytes: 0, mostBytes: most },
  };
}

function agentState(vm: FakeVm): 'connected' | 'disconnected' {
  return vm.guest?.isConnected === true && isActive(vm) ? 'connected' : 'disconnected';
}

export function disksOf({
  live,
  disks,
}: Pick<FakeVm, 'live' | 'disks'>): readonly HypervisorDisk[] {
  const volumes = placeVolumes(machineToStart(live).volumes ?? []);
  return (
    disks ??
    volumes.map((volume) => ({
      name: volume.name,
      target: volume.target,
      readOnly: isReadOnly(volume),
      cache: volume.cache,
      images: imagesOf(volume),
    }))
  );
}

function interfacesOf(vm: FakeVm): HypervisorVm['interfaces'] {
  const { uid, spec } = vm.live;
  return (spec.template.spec.networks ?? []).map((network, index) => ({
    name: network.name,
    mac: macOf(uid, network),
    bridge: bridgeOf(network),
    model: modelOf(network),
    hostDevice: isActive(vm) ? `vnet${index}` : undefined,
    ...(network.link !== undefined && { link: network.link }),
  }));
}

function imagesOf(volume: Volume): HypervisorDisk['images'] {
  const path = pathOf(volume);
  if (path === undefined) return [];
  const kind = volume.source?.block === undefined ? 'file' : 'block';
  return [{ kind, path, format: formatOf(volume) }];
}

export function toVmStatistics(vm: FakeVm): VmStatistics {
  const { live, cpuTimeNs } = vm;
  const machine = live.spec.template.spec;
  return {
    cpuTimeNs,
    vcpus: vcpusOf(machine),
    memoryActualBytes: memoryBytesOf(machine),
    memoryRssBytes: 64 * MIB,
    diskReadBytes: 0n,
    diskWriteBytes: 0n,
    networkReceiveBytes: 0n,
    networkTransmitBytes: 0n,
    disks: disksOf(vm)
      .filter(({ images }) => images.length > 0)
      .map(({ target }) => ({ target, virtualBytes: 1024 * MIB, allocatedBytes: MIB })),
  };
}

export function toJobStatistics(
  vm: FakeVm,
  job: FakeJob,
  kind: JobStatistics['kind'],
): JobStatistics {
  const total = BigInt(memoryBytesOf(vm.live.spec.template.spec));
  // Like libvirt, the receiving end has no figures until the end.
  const isKnown = job.operation === 'migration-out' || kind === 'completed';
  const processed = isKnown ? (total * BigInt(job.iteration)) / BigInt(job.iterations) : 0n;
  return {
    kind,
    operation: job.operation,
    elapsedMs: job.iteration * 100,
    setupMs: isKnown ? 1 : 0,
    downtimeMs: kind === 'completed' ? 20 : undefined,
    memoryTotalBytes: isKnown ? total : 0n,
    memoryProcessedBytes: processed,
    memoryRemainingBytes: isKnown ? total - processed : 0n,
    memoryConstantPages: 0n,
    memoryNormalBytes: processed,
    memoryBytesPerSecond: isKnown ? BigInt(MIB) : 0n,
    dirtyPagesPerSecond: 0n,
    pageSizeBytes: isKnown ? 4096 : 0,
    iteration: isKnown ? job.iteration : 0,
    disks: undefined,
  };
}
