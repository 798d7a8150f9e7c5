import {
  type BootSpec,
  DiskBus,
  DiskCache,
  DiskFormat,
  type DiskSpec,
  Firmware,
  type ObjectMeta,
  PowerState,
  type VirtualMachine,
  VirtualMachinePhase,
  type VirtualMachineSpec,
  type VirtualMachineStatus,
} from '../../client/api.ts';
import { timestampMs } from '../../client/time.ts';
import {
  API_VERSION,
  conditionDocuments,
  type Document,
  enumWord,
  originDocument,
  timestampText,
  withoutEmpty,
} from '../output/documents.ts';
import { formatAge } from '../output/durations.ts';
import { formatBytes, formatQuantity } from '../output/quantities.ts';
import type { Column, ResourceView } from '../output/resource-view.ts';

export function phaseWord(phase: VirtualMachinePhase): string {
  return enumWord(VirtualMachinePhase, 'VIRTUAL_MACHINE_PHASE', phase) ?? 'Unknown';
}

/** `NAMESPACE/NAME`, as commands take it. */
export function vmName(vm: VirtualMachine): string {
  return `${vm.metadata?.namespace || 'default'}/${vm.metadata?.name ?? ''}`;
}

const NAMESPACE_COLUMN: Column<VirtualMachine> = {
  header: 'NAMESPACE',
  value: (vm) => vm.metadata?.namespace ?? '',
};

/** How VMs are shown; the namespace's column only where several may be listed. */
export function vmView(options: {
  readonly nowMs: number;
  readonly showNamespace: boolean;
}): ResourceView<VirtualMachine> {
  const columns: readonly Column<VirtualMachine>[] = [
    { header: 'NAME', value: (vm) => vm.metadata?.name ?? '' },
    { header: 'PHASE', value: (vm) => phaseWord(vm.status?.phase ?? 0) },
    { header: 'CPUS', value: (vm) => String(vm.spec?.cpu?.vcpus ?? '') },
    { header: 'MEMORY', value: (vm) => formatQuantity(vm.spec?.memory?.sizeBytes ?? 0n) },
    { header: 'AGE', value: (vm) => ageOf(vm, options.nowMs) },
    { header: 'NODE', value: (vm) => vm.status?.origin?.nodeName ?? '' },
    { header: 'CPU USED', wide: true, value: cpuUsed },
    { header: 'MEMORY USED', wide: true, value: memoryUsed },
    { header: 'ACCELERATOR', wide: true, value: (vm) => vm.status?.accelerator ?? '' },
    { header: 'MACHINE', wide: true, value: (vm) => vm.status?.machineType ?? '' },
    { header: 'MIGRATION', wide: true, value: (vm) => vm.status?.migrationId ?? '' },
    { header: 'UID', wide: true, value: (vm) => vm.metadata?.uid ?? '' },
    { header: 'MESSAGE', wide: true, value: (vm) => vm.status?.message ?? '' },
  ];
  return {
    columns: options.showNamespace ? [NAMESPACE_COLUMN, ...columns] : columns,
    document: vmDocument,
    name: vmName,
  };
}

function ageOf(vm: VirtualMachine, nowMs: number): string {
  const made = vm.metadata?.createTime;
  return made === undefined ? '' : formatAge(nowMs - timestampMs(made));
}

function cpuUsed(vm: VirtualMachine): string {
  const statistics = vm.status?.statistics;
  return statistics === undefined ? '' : statistics.cpuUsageCores.toFixed(2);
}

function memoryUsed(vm: VirtualMachine): string {
  const statistics = vm.status?.statistics;
  return statistics === undefined ? '' : formatBytes(statistics.memoryRssBytes);
}

/** In the form that `vm create -f` reads. */
export function vmDocument(vm: VirtualMachine): Document {
  return withoutEmpty({
    apiVersion: API_VERSION,
    kind: 'VirtualMachine',
    metadata: metadataDocument(vm.metadata),
    spec: vm.spec && specDocument(vm.spec),
    status: vm.status && statusDocument(vm.status),
  });
}

export function metadataDocument(metadata: ObjectMeta | undefined): Document {
  if (metadata === undefined) return {};
  return withoutEmpty({
    ...metadata,
    generation: metadata.generation === 0n ? undefined : metadata.generation,
    createTime: timestampText(metadata.createTime),
  });
}

function specDocument(spec: VirtualMachineSpec): Document {
  return withoutEmpty({
    powerState: enumWord(PowerState, 'POWER_STATE', spec.powerState),
    cpu: spec.cpu && withoutEmpty({ ...spec.cpu }),
    memory: spec.memory && { size: formatQuantity(spec.memory.sizeBytes) },
    boot: spec.boot && bootDocument(spec.boot),
    disks: spec.disks.map(diskDocument),
    machineType: spec.machineType,
  });
}

function bootDocument({ method }: BootSpec): Document {
  if (method?.$case === 'kernel') {
    const { kernelPath, initrdPath, commandLine } = method.value;
    return { kernel: withoutEmpty({ path: kernelPath, initrd: initrdPath, commandLine }) };
  }
  return withoutEmpty({
    firmware: method && enumWord(Firmware, 'FIRMWARE', method.value)?.toLowerCase(),
  });
}

/** What has its default value is left out. */
function diskDocument(disk: DiskSpec): Document {
  return withoutEmpty({
    name: disk.name,
    target: disk.target,
    bus: enumWord(DiskBus, 'DISK_BUS', disk.bus)?.toLowerCase(),
    format: enumWord(DiskFormat, 'DISK_FORMAT', disk.format)?.toLowerCase(),
    path: disk.path,
    readOnly: disk.readOnly || undefined,
    shared: disk.shared || undefined,
    bootOrder: disk.bootOrder || undefined,
    cache: enumWord(DiskCache, 'DISK_CACHE', disk.cache)?.toLowerCase(),
  });
}

function statusDocument(status: VirtualMachineStatus): Document {
  return withoutEmpty({
    ...status,
    phase: phaseWord(status.phase),
    conditions: conditionDocuments(status.conditions),
    statistics: status.statistics && withoutEmpty({ ...status.statistics }),
    origin: originDocument(status.origin),
  });
}
