import type { BootSpec, DiskSpec, VmSpec } from '../../core/vm-definition.ts';
import {
  type BootSpec as BootSpecMessage,
  DiskBus,
  DiskCache,
  DiskFormat,
  type DiskSpec as DiskSpecMessage,
  Firmware,
  PowerState,
  VirtualMachineSpec,
} from '../../gen/novacron/agent/v1/virtual_machine.ts';
import { toUint64 } from './count-conversion.ts';
import type { FieldChecks } from './field-checks.ts';

const MAX_VCPUS = 512;
const MAX_DISKS = 26;
const MIB = 1024 ** 2;
const MIN_MEMORY_BYTES = 16 * MIB;
const MAX_NAME_BYTES = 128;
const MAX_COMMAND_LINE_BYTES = 2_048;

const POWER_STATES = {
  [PowerState.POWER_STATE_UNSPECIFIED]: 'running',
  [PowerState.POWER_STATE_RUNNING]: 'running',
  [PowerState.POWER_STATE_STOPPED]: 'stopped',
} as const;
const FIRMWARES = {
  [Firmware.FIRMWARE_UNSPECIFIED]: 'bios',
  [Firmware.FIRMWARE_BIOS]: 'bios',
  [Firmware.FIRMWARE_UEFI]: 'uefi',
} as const;
const BUSES = {
  [DiskBus.DISK_BUS_UNSPECIFIED]: 'virtio',
  [DiskBus.DISK_BUS_VIRTIO]: 'virtio',
  [DiskBus.DISK_BUS_SCSI]: 'scsi',
  [DiskBus.DISK_BUS_SATA]: 'sata',
} as const;
const FORMATS = {
  [DiskFormat.DISK_FORMAT_RAW]: 'raw',
  [DiskFormat.DISK_FORMAT_QCOW2]: 'qcow2',
} as const;
const CACHES = {
  [DiskCache.DISK_CACHE_UNSPECIFIED]: 'none',
  [DiskCache.DISK_CACHE_NONE]: 'none',
  [DiskCache.DISK_CACHE_WRITEBACK]: 'writeback',
  [DiskCache.DISK_CACHE_WRITETHROUGH]: 'writethrough',
  [DiskCache.DISK_CACHE_DIRECTSYNC]: 'directsync',
} as const;

/** `field` is the path of the spec within the request, such as `virtual_machine.spec`. */
export function fromSpec(
  message: VirtualMachineSpec | undefined,
  field: string,
  checks: FieldChecks,
): VmSpec {
  const spec = checks.required(field, message) ?? VirtualMachineSpec.create();
  const cpu = message && checks.required(`${field}.cpu`, spec.cpu);
  const memory = message && checks.required(`${field}.memory`, spec.memory);
  if (spec.disks.length > MAX_DISKS) checks.add(`${field}.disks`, `must be at most ${MAX_DISKS}`);
  return {
    powerState: checks.oneOf(`${field}.power_state`, spec.powerState, POWER_STATES, 'running'),
    cpu: {
      vcpus: cpu ? checks.integer(`${field}.cpu.vcpus`, cpu.vcpus, 1, MAX_VCPUS) : 1,
      model: cpu && checks.optionalText(`${field}.cpu.model`, cpu.model, MAX_NAME_BYTES),
    },
    memory: {
      sizeBytes: memory ? memorySize(`${field}.memory.size_bytes`, memory.sizeBytes, checks) : 0,
    },
    boot: fromBoot(spec.boot, `${field}.boot`, checks),
    disks: spec.disks
      .slice(0, MAX_DISKS)
      .map((disk, index) => fromDisk(disk, `${field}.disks[${index}]`, checks)),
    machineType: checks.optionalText(`${field}.machine_type`, spec.machineType, MAX_NAME_BYTES),
  };
}

function memorySize(field: string, value: bigint, checks: FieldChecks): number {
  const sizeBytes = checks.count(field, value);
  if (sizeBytes < MIN_MEMORY_BYTES || sizeBytes % MIB !== 0) {
    checks.add(field, 'must be a multiple of 1 MiB (1048576) and at least 16 MiB');
  }
  return sizeBytes;
}

function fromBoot(
  message: BootSpecMessage | undefined,
  field: string,
  checks: FieldChecks,
): BootSpec {
  const method = message?.method;
  if (method === undefined) return { kind: 'firmware', firmware: 'bios' };
  if (method.$case === 'firmware') {
    const firmware = checks.oneOf(`${field}.firmware`, method.value, FIRMWARES, 'bios');
    return { kind: 'firmware', firmware };
  }
  const { kernelPath, initrdPath, commandLine } = method.value;
  const kernel = `${field}.kernel`;
  return {
    kind: 'kernel',
    kernelPath: checks.absolutePath(`${kernel}.kernel_path`, kernelPath),
    initrdPath:
      initrdPath === '' ? undefined : checks.absolutePath(`${kernel}.initrd_path`, initrdPath),
    commandLine: checks.text(`${kernel}.command_line`, commandLine, MAX_COMMAND_LINE_BYTES),
  };
}

function fromDisk(disk: DiskSpecMessage, field: string, checks: FieldChecks): DiskSpec {
  return {
    name: checks.dnsLabel(`${field}.name`, disk.name),
    target: checks.text(`${field}.target`, disk.target, MAX_NAME_BYTES),
    bus: checks.oneOf(`${field}.bus`, disk.bus, BUSES, 'virtio'),
    format: checks.oneOf<DiskSpec['format']>(`${field}.format`, disk.format, FORMATS, 'raw'),
    path: checks.absolutePath(`${field}.path`, disk.path),
    readOnly: disk.readOnly,
    shared: disk.shared,
    bootOrder: disk.bootOrder === 0 ? undefined : disk.bootOrder,
    cache: checks.oneOf(`${field}.cache`, disk.cache, CACHES, 'none'),
  };
}

const POWER_STATE = {
  running: PowerState.POWER_STATE_RUNNING,
  stopped: PowerState.POWER_STATE_STOPPED,
} as const;
const FIRMWARE = { bios: Firmware.FIRMWARE_BIOS, uefi: Firmware.FIRMWARE_UEFI } as const;
const BUS = {
  virtio: DiskBus.DISK_BUS_VIRTIO,
  scsi: DiskBus.DISK_BUS_SCSI,
  sata: DiskBus.DISK_BUS_SATA,
} as const;
const FORMAT = { raw: DiskFormat.DISK_FORMAT_RAW, qcow2: DiskFormat.DISK_FORMAT_QCOW2 } as const;
const CACHE = {
  none: DiskCache.DISK_CACHE_NONE,
  writeback: DiskCache.DISK_CACHE_WRITEBACK,
  writethrough: DiskCache.DISK_CACHE_WRITETHROUGH,
  directsync: DiskCache.DISK_CACHE_DIRECTSYNC,
} as const;

export function toSpec(spec: VmSpec): VirtualMachineSpec {
  return {
    powerState: POWER_STATE[spec.powerState],
    cpu: { vcpus: spec.cpu.vcpus, model: spec.cpu.model ?? '' },
    memory: { sizeBytes: toUint64(spec.memory.sizeBytes) },
    boot: toBoot(spec.boot),
    disks: spec.disks.map(toDisk),
    machineType: spec.machineType ?? '',
  };
}

function toBoot(boot: BootSpec): BootSpecMessage {
  if (boot.kind === 'firmware') {
    return { method: { $case: 'firmware', value: FIRMWARE[boot.firmware] } };
  }
  const { kernelPath, initrdPath = '', commandLine } = boot;
  return { method: { $case: 'kernel', value: { kernelPath, initrdPath, commandLine } } };
}

function toDisk(disk: DiskSpec): DiskSpecMessage {
  return {
    name: disk.name,
    target: disk.target,
    bus: BUS[disk.bus],
    format: FORMAT[disk.format],
    path: disk.path,
    readOnly: disk.readOnly,
    shared: disk.shared,
    bootOrder: disk.bootOrder ?? 0,
    cache: CACHE[disk.cache],
  };
}
