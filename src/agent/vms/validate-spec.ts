import { AgentError, type FieldViolation, type Reason } from '../../core/errors.ts';
import type { DiskSpec, VmDefinition, VmSpec } from '../../core/vm-spec.ts';
import type { Capacity } from './capacity.ts';
import { annotationProblems, isDnsLabel, labelProblems, pathProblem } from './validate-names.ts';

/** A violation and the reason that it alone would fail with. */
export interface SpecViolation extends FieldViolation {
  readonly reason: Reason;
}

const MIB = 2 ** 20;
const MAX_VCPUS = 512;
const MIN_MEMORY_BYTES = 16 * MIB;
const MAX_DISKS = 26;
/** Linux on x86 takes 2048 bytes with the closing NUL. */
const MAX_COMMAND_LINE_BYTES = 2047;
const DNS_LABEL_RULE =
  'must be 1 to 63 lower-case letters, digits or hyphens, with a letter or digit at both ends';

/**
 * Everything that is wrong with a definition on a node of this capacity, seen without looking at files; empty if
 * nothing is. Fields are named as in the API.
 */
export function validateDefinition(definition: VmDefinition, node: Capacity): SpecViolation[] {
  return [...invalidFields(definition), ...excessFields(definition.spec, node)];
}

/** One error for all violations: INVALID_SPEC if any field is invalid in itself, else the first one's reason. */
export function violationError(name: string, violations: readonly SpecViolation[]): AgentError {
  const invalid = violations.find(({ reason }) => reason === 'INVALID_SPEC');
  const first = invalid ?? violations[0];
  if (first === undefined) throw new Error('No violation to make an error of');
  const others = violations.length - 1;
  const more = others === 0 ? '' : ` (and ${others} more problem${others === 1 ? '' : 's'})`;
  return new AgentError(
    first.reason,
    `Cannot accept VM ${JSON.stringify(name)}: ${first.field} ${first.description}${more}`,
    { violations: violations.map(({ field, description }) => ({ field, description })) },
  );
}

function* invalidFields(definition: VmDefinition): Generator<SpecViolation> {
  if (!isDnsLabel(definition.namespace)) yield invalid('namespace', DNS_LABEL_RULE);
  if (!isDnsLabel(definition.name)) yield invalid('name', DNS_LABEL_RULE);
  if (!isUuid(definition.uid)) {
    yield invalid(
      'uid',
      'must be a lower-case UUID with more than one digit in it, such as uuidgen prints',
    );
  }
  for (const { field, description } of labelProblems(definition.labels)) {
    yield invalid(field, description);
  }
  for (const { field, description } of annotationProblems(definition.annotations)) {
    yield invalid(field, description);
  }
  yield* invalidMachine(definition.spec);
  yield* invalidBoot(definition.spec);
  yield* invalidDisks(definition.spec.disks);
}

function* invalidMachine({
  powerState,
  cpu,
  memory,
  machineType,
}: VmSpec): Generator<SpecViolation> {
  if (!['running', 'stopped'].includes(powerState)) {
    yield invalid('spec.power_state', 'must be running or stopped');
  }
  if (!Number.isInteger(cpu.vcpus) || cpu.vcpus < 1 || cpu.vcpus > MAX_VCPUS) {
    yield invalid('spec.cpu.vcpus', `must be 1 to ${MAX_VCPUS}, not ${cpu.vcpus}`);
  }
  if (cpu.model !== undefined && !/^[A-Za-z0-9][\w.-]{0,63}$/.test(cpu.model)) {
    yield invalid(
      'spec.cpu.model',
      'must be host-passthrough, host-model or a QEMU model such as EPYC',
    );
  }
  const bytes = memory.sizeBytes;
  if (!Number.isSafeInteger(bytes) || bytes < MIN_MEMORY_BYTES || bytes % MIB !== 0) {
    yield invalid(
      'spec.memory.size_bytes',
      `must be a multiple of 1 MiB (${MIB}) and at least 16 MiB, not ${bytes}`,
    );
  }
  if (machineType !== undefined && !/^(q35|pc|pc-(q35|i440fx)-[\w.-]{1,32})$/.test(machineType)) {
    yield invalid('spec.machine_type', 'must be q35, pc or a version of them such as pc-q35-7.2');
  }
}

function* invalidBoot({ boot }: VmSpec): Generator<SpecViolation> {
  if (boot.kind === 'firmware') {
    if (!['bios', 'uefi'].includes(boot.firmware)) {
      yield invalid('spec.boot.firmware', 'must be BIOS or UEFI');
    }
    return;
  }
  const kernel = pathProblem(boot.kernelPath);
  if (kernel !== undefined) yield invalid('spec.boot.kernel.kernel_path', kernel);
  const initrd = boot.initrdPath === undefined ? undefined : pathProblem(boot.initrdPath);
  if (initrd !== undefined) yield invalid('spec.boot.kernel.initrd_path', initrd);
  if (
    Buffer.byteLength(boot.commandLine) > MAX_COMMAND_LINE_BYTES ||
    !/^[ -~]*$/.test(boot.commandLine)
  ) {
    yield invalid(
      'spec.boot.kernel.command_line',
      `must be printable ASCII of at most ${MAX_COMMAND_LINE_BYTES} characters in one line`,
    );
  }
}

function* invalidDisks(disks: readonly DiskSpec[]): Generator<SpecViolation> {
  if (disks.length > MAX_DISKS) {
    yield invalid('spec.disks', `must be at most ${MAX_DISKS}, not ${disks.length}`);
    return;
  }
  for (const [index, disk] of disks.entries()) {
    for (const { field, description } of diskProblems(disk, disks.slice(0, index))) {
      yield invalid(`spec.disks[${index}].${field}`, description);
    }
  }
}

function* diskProblems(disk: DiskSpec, earlier: readonly DiskSpec[]): Generator<FieldViolation> {
  if (!isDnsLabel(disk.name)) yield { field: 'name', description: DNS_LABEL_RULE };
  const bus = TARGET_PREFIXES.get(disk.bus);
  if (bus === undefined) yield { field: 'bus', description: 'must be virtio, scsi or sata' };
  else if (!new RegExp(`^${bus}[a-z]$`).test(disk.target)) {
    yield { field: 'target', description: `must be ${bus}a to ${bus}z on the bus ${disk.bus}` };
  }
  if (!['raw', 'qcow2'].includes(disk.format)) {
    yield { field: 'format', description: 'must be raw or qcow2' };
  }
  if (!['none', 'writeback', 'writethrough', 'directsync'].includes(disk.cache)) {
    yield { field: 'cache', description: 'must be none, writeback, writethrough or directsync' };
  }
  const order = disk.bootOrder;
  if (order !== undefined && (!Number.isInteger(order) || order < 1)) {
    yield { field: 'boot_order', description: `must be 1 or more, not ${order}` };
  }
  const path = pathProblem(disk.path);
  if (path !== undefined) yield { field: 'path', description: path };
  for (const [key, field] of UNIQUE) {
    const value = disk[key];
    const same = earlier.find((other) => value !== undefined && other[key] === value);
    if (same !== undefined) {
      yield {
        field,
        description: `is the same as that of disk ${JSON.stringify(same.name)}; each disk needs its own`,
      };
    }
  }
}

const TARGET_PREFIXES: ReadonlyMap<string, string> = new Map([
  ['virtio', 'vd'],
  ['scsi', 'sd'],
  ['sata', 'sd'],
]);

const UNIQUE = [
  ['name', 'name'],
  ['target', 'target'],
  ['path', 'path'],
  ['bootOrder', 'boot_order'],
] as const;

function* excessFields({ cpu, memory }: VmSpec, node: Capacity): Generator<SpecViolation> {
  const reason = 'NODE_CAPACITY_EXCEEDED';
  if (cpu.vcpus > node.cpus && cpu.vcpus <= MAX_VCPUS) {
    const description = `is ${cpu.vcpus}, but this node has ${node.cpus} CPUs; ask for fewer or choose another node`;
    yield { field: 'spec.cpu.vcpus', description, reason };
  }
  if (memory.sizeBytes > node.memoryBytes) {
    const has = Math.floor(node.memoryBytes / MIB);
    const description = `is ${Math.ceil(memory.sizeBytes / MIB)} MiB, but this node has ${has} MiB for VMs; ask for less or choose another node`;
    yield { field: 'spec.memory.size_bytes', description, reason };
  }
}

/** libvirt refuses a UUID of sixteen equal bytes' worth of one digit, such as the nil UUID. */
function isUuid(uid: string): boolean {
  return (
    /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uid) &&
    new Set(uid.replaceAll('-', '')).size > 1
  );
}

function invalid(field: string, description: string): SpecViolation {
  return { field, description, reason: 'INVALID_SPEC' };
}
