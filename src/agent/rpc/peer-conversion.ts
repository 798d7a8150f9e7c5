import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { durationMs } from '../../client/time.ts';
import { isReason } from '../../core/errors.ts';
import type { DiskImage } from '../../core/made-disks.ts';
import { fieldPath } from '../../core/resources/schema-issues.ts';
import { holdsUserData, USER_DATA_FILE, userDataDigestOf } from '../../core/user-data.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import { readDefinitionText, toDefinitionText } from '../../core/vm-definition-text.ts';
import {
  type CheckIncomingRequest,
  type GetIncomingResponse,
  type IncomingBlocker as IncomingBlockerMessage,
  IncomingOutcome,
  IncomingVirtualMachine,
  type LocateVirtualMachineResponse,
  type MadeDisk,
  type MadeDiskImage,
  VirtualMachinePresence as Presence,
  type PrivateFile,
  IncomingState as StateNumber,
} from '../../gen/novacron/peer/v1/peer.ts';
import type {
  ArrivalFigures,
  IncomingBlocker,
  IncomingReport,
  IncomingState,
  IncomingVm,
} from '../migration/migration.ts';
import type { VmPresence, VmSighting } from '../vms/vm-peers.ts';
import { toUint64 } from './count-conversion.ts';
import type { FieldChecks } from './field-checks.ts';
import { optionalDuration } from './figure-conversion.ts';

const MAX_TEXT_BYTES = 128;
const MAX_HYPERVISOR_NAME_BYTES = 4096;
const MAX_CPU_BYTES = 64 * 1024;

const ACCELERATORS = { '': undefined, kvm: 'kvm', tcg: 'tcg' } as const;

const STATES = {
  [StateNumber.INCOMING_STATE_ABSENT]: 'absent',
  [StateNumber.INCOMING_STATE_PREPARED]: 'prepared',
  [StateNumber.INCOMING_STATE_RECEIVING]: 'receiving',
  [StateNumber.INCOMING_STATE_ARRIVED]: 'arrived',
  [StateNumber.INCOMING_STATE_UNKNOWN]: 'unknown',
} as const;

const STATE = {
  absent: StateNumber.INCOMING_STATE_ABSENT,
  prepared: StateNumber.INCOMING_STATE_PREPARED,
  receiving: StateNumber.INCOMING_STATE_RECEIVING,
  arrived: StateNumber.INCOMING_STATE_ARRIVED,
  unknown: StateNumber.INCOMING_STATE_UNKNOWN,
} as const satisfies Record<IncomingState, StateNumber>;

const PRESENCES = {
  [Presence.VIRTUAL_MACHINE_PRESENCE_ABSENT]: 'absent',
  [Presence.VIRTUAL_MACHINE_PRESENCE_HELD]: 'held',
  [Presence.VIRTUAL_MACHINE_PRESENCE_COMING]: 'coming',
} as const;

const PRESENCE = {
  absent: Presence.VIRTUAL_MACHINE_PRESENCE_ABSENT,
  held: Presence.VIRTUAL_MACHINE_PRESENCE_HELD,
  coming: Presence.VIRTUAL_MACHINE_PRESENCE_COMING,
  unknown: Presence.VIRTUAL_MACHINE_PRESENCE_UNSPECIFIED,
} as const satisfies Record<VmPresence, Presence>;

export const OUTCOMES = {
  [IncomingOutcome.INCOMING_OUTCOME_COMMIT]: 'commit',
  [IncomingOutcome.INCOMING_OUTCOME_ABORT]: 'abort',
} as const;

export const OUTCOME = {
  commit: IncomingOutcome.INCOMING_OUTCOME_COMMIT,
  abort: IncomingOutcome.INCOMING_OUTCOME_ABORT,
} as const;

/** The parts of CheckIncoming and PrepareIncoming that describe the VM. */
export type IncomingFields = Pick<
  CheckIncomingRequest,
  'incoming' | 'sourceHostUuid' | 'sourceQemuVersion' | 'requiredFeatures'
>;

const MAX_DEFINITION_BYTES = 1024 ** 2;
// With the definition they must fit in one request.
const MAX_PRIVATE_FILES = 3;
const MAX_PRIVATE_FILE_BYTES = 1024 ** 2;
const MAX_BRIDGES = 64;
const MAX_MADE_DISKS = 64;
const MAX_EJECTED = 64;
const SHA256 = /^[0-9a-f]{64}$/;
/** Linux's PATH_MAX. */
const MAX_PATH_BYTES = 4096;
const MAX_SOURCE_BYTES = 4096;

export function fromIncomingFields(request: IncomingFields, checks: FieldChecks): IncomingVm {
  const vm = checks.required('incoming', request.incoming) ?? IncomingVirtualMachine.create();
  const { accelerator } = vm;
  if (!isAccelerator(accelerator)) {
    checks.add('incoming.accelerator', 'must be "kvm", "tcg" or empty');
  }
  const definition = readDefinitionText(fromDefinition(vm.definition, checks), {
    uid: checks.uuid('incoming.uid', vm.uid),
    namespace: checks.dnsLabel('incoming.namespace', vm.namespace),
    name: checks.dnsLabel('incoming.name', vm.name),
    ownershipEpoch: checks.count('incoming.ownershipEpoch', vm.ownershipEpoch),
    // What it is at the source; here it will be this host.
    owner: request.sourceHostUuid,
    intent: 'on',
    privateFiles: Object.fromEntries(vm.privateFiles.map(({ name, sha256 }) => [name, sha256])),
    madeDisks: fromMadeDisks(vm.madeDisks, checks),
    ...fromEjected(vm.ejected, checks),
    isNewerVersion: false,
  });
  if (holdsUserData(definition.spec)) {
    checks.add(
      'incoming.definition',
      'must have the digest of user data, not user data themselves',
    );
  } else if (!hasUserData(definition)) {
    checks.add(
      'incoming.privateFiles',
      `must have the file ${USER_DATA_FILE} with the SHA-256 that the definition names`,
    );
  }
  return {
    definition,
    machineType: checks.text('incoming.machineType', vm.machineType, MAX_TEXT_BYTES),
    accelerator: isAccelerator(accelerator) ? ACCELERATORS[accelerator] : undefined,
    memoryBytes: checks.count('incoming.memoryBytes', vm.memoryBytes),
    vcpus: vm.vcpus,
    cpu: fromCpu(vm.cpu, checks),
    bridges: fromBridges(vm.bridges, checks),
    hypervisorName: checks.text(
      'incoming.hypervisorName',
      vm.hypervisorName,
      MAX_HYPERVISOR_NAME_BYTES,
    ),
    privateFiles: fromPrivateFiles(vm.privateFiles, checks),
    sourceHostUuid: checks.text('sourceHostUuid', request.sourceHostUuid, MAX_TEXT_BYTES),
    sourceQemuVersion: checks.text('sourceQemuVersion', request.sourceQemuVersion, MAX_TEXT_BYTES),
    requiredFeatures: request.requiredFeatures,
  };
}

function hasUserData({ spec, privateFiles }: VmDefinition): boolean {
  const digest = userDataDigestOf(spec);
  return digest === undefined || privateFiles[USER_DATA_FILE] === digest;
}

/** The hypervisor that it is for reads it. */
function fromCpu(cpu: string, checks: FieldChecks): string {
  if (Buffer.byteLength(cpu) <= MAX_CPU_BYTES) return cpu;
  checks.add('incoming.cpu', `must have at most ${MAX_CPU_BYTES} bytes`);
  return '';
}

function fromBridges(bridges: readonly string[], checks: FieldChecks): readonly string[] {
  if (bridges.length > MAX_BRIDGES)
    checks.add('incoming.bridges', `must be at most ${MAX_BRIDGES}`);
  return bridges.map((name, index) =>
    checks.text(`incoming.bridges[${index}]`, name, MAX_TEXT_BYTES),
  );
}

/** Text that gives the same bytes again. */
function fromDefinition(definition: Uint8Array, checks: FieldChecks): string {
  if (definition.length > MAX_DEFINITION_BYTES) {
    checks.add('incoming.definition', `must have at most ${MAX_DEFINITION_BYTES} bytes`);
    return '';
  }
  if (!isUtf8(definition)) {
    checks.add('incoming.definition', 'must be UTF-8');
    return '';
  }
  return Buffer.from(definition).toString('utf8');
}

function fromMadeDisks(disks: readonly MadeDisk[], checks: FieldChecks): VmDefinition['madeDisks'] {
  if (disks.length > MAX_MADE_DISKS) {
    checks.add('incoming.madeDisks', `must be at most ${MAX_MADE_DISKS}`);
  }
  return Object.fromEntries(
    disks.map(({ volume, image, encryptionSecret, ...disk }, index) => {
      const field = `incoming.madeDisks[${index}]`;
      checks.dnsLabel(`${field}.volume`, volume);
      const made = {
        ...fromDiskFile(disk, field, checks),
        ...fromEncryption(encryptionSecret, field, checks),
      };
      if (image === undefined) return [volume, made] as const;
      return [volume, { ...made, image: fromDiskImage(image, `${field}.image`, checks) }] as const;
    }),
  );
}

function fromEncryption(
  secret: string | undefined,
  field: string,
  checks: FieldChecks,
): Pick<VmDefinition['madeDisks'][string], 'encryption'> {
  if (secret === undefined) return {};
  return {
    encryption: { secret: checks.text(`${field}.encryptionSecret`, secret, MAX_TEXT_BYTES) },
  };
}

function fromDiskFile(
  { path, format, bytes }: Pick<MadeDisk, 'path' | 'format' | 'bytes'>,
  field: string,
  checks: FieldChecks,
) {
  if (!path.startsWith('/') || Buffer.byteLength(path) > MAX_PATH_BYTES) {
    checks.add(`${field}.path`, 'must be an absolute path');
  }
  if (format !== 'raw' && format !== 'qcow2') {
    checks.add(`${field}.format`, 'must be "raw" or "qcow2"');
  }
  const size = checks.count(`${field}.bytes`, bytes);
  return { path, format: format === 'raw' ? ('raw' as const) : ('qcow2' as const), bytes: size };
}

function fromDiskImage(image: MadeDiskImage, field: string, checks: FieldChecks): DiskImage {
  const { source, digest } = image;
  if (Buffer.byteLength(source) > MAX_SOURCE_BYTES) {
    checks.add(`${field}.source`, `must have at most ${MAX_SOURCE_BYTES} bytes`);
  }
  if (!SHA256.test(digest.replace(/^sha256:/, ''))) {
    checks.add(`${field}.digest`, 'must be sha256: and 64 hexadecimal digits');
  }
  const file = fromDiskFile(image, field, checks);
  return { source, digest, ...file, ...(image.copied && { isCopied: true as const }) };
}

function fromPrivateFiles(
  files: readonly PrivateFile[],
  checks: FieldChecks,
): Readonly<Record<string, Uint8Array>> {
  if (files.length > MAX_PRIVATE_FILES) {
    checks.add('incoming.privateFiles', `must be at most ${MAX_PRIVATE_FILES}`);
  }
  for (const [index, { name, sha256, content }] of files.entries()) {
    const field = `incoming.privateFiles[${index}]`;
    checks.dnsLabel(`${field}.name`, name);
    if (files.findIndex((file) => file.name === name) !== index) {
      checks.add(`${field}.name`, 'must be given once only');
    }
    if (!SHA256.test(sha256)) {
      checks.add(`${field}.sha256`, 'must be 64 hexadecimal digits');
    }
    if (content.length > MAX_PRIVATE_FILE_BYTES) {
      checks.add(`${field}.content`, `must have at most ${MAX_PRIVATE_FILE_BYTES} bytes`);
    }
  }
  return Object.fromEntries(files.map(({ name, content }) => [name, content]));
}

/** For a VM that is about to come: its files must be there, and be those that the definition names. */
export function checkContents(files: readonly PrivateFile[], checks: FieldChecks): void {
  for (const [index, { sha256, content }] of files.entries()) {
    if (createHash('sha256').update(content).digest('hex') !== sha256) {
      checks.add(`incoming.privateFiles[${index}].content`, 'does not have the SHA-256 given');
    }
  }
}

function isAccelerator(value: string): value is keyof typeof ACCELERATORS {
  return Object.hasOwn(ACCELERATORS, value);
}

function fromEjected(
  ejected: Readonly<Record<string, string>>,
  checks: FieldChecks,
): Pick<VmDefinition, 'ejected'> {
  const entries = Object.entries(ejected);
  if (entries.length === 0) return {};
  if (entries.length > MAX_EJECTED) {
    checks.add('incoming.ejected', `must be at most ${MAX_EJECTED}`);
    return {};
  }
  for (const [volume, sha256] of entries) {
    const field = fieldPath(['incoming', 'ejected', volume]);
    checks.dnsLabel(field, volume);
    if (!SHA256.test(sha256)) checks.add(field, 'must be 64 hexadecimal digits');
  }
  return { ejected };
}

export function toIncomingFields(incoming: IncomingVm): IncomingFields {
  return {
    incoming: toIncomingVirtualMachine(incoming),
    sourceHostUuid: incoming.sourceHostUuid,
    sourceQemuVersion: incoming.sourceQemuVersion,
    requiredFeatures: [...incoming.requiredFeatures],
  };
}

function toDiskImage({ isCopied, bytes, ...image }: DiskImage): MadeDiskImage {
  return { ...image, bytes: toUint64(bytes), copied: isCopied === true };
}

function toIncomingVirtualMachine(incoming: IncomingVm): IncomingVirtualMachine {
  const { definition, machineType, accelerator = '', memoryBytes, vcpus } = incoming;
  return {
    uid: definition.uid,
    namespace: definition.namespace,
    name: definition.name,
    definition: Buffer.from(toDefinitionText(definition)),
    ownershipEpoch: toUint64(definition.ownershipEpoch),
    machineType,
    accelerator,
    memoryBytes: toUint64(memoryBytes),
    vcpus,
    cpu: incoming.cpu,
    bridges: [...incoming.bridges],
    ejected: { ...definition.ejected },
    hypervisorName: incoming.hypervisorName,
    madeDisks: Object.entries(definition.madeDisks).map(([volume, disk]) => ({
      volume,
      path: disk.path,
      format: disk.format,
      bytes: toUint64(disk.bytes),
      image: disk.image && toDiskImage(disk.image),
      encryptionSecret: disk.encryption?.secret,
    })),
    privateFiles: Object.entries(definition.privateFiles).map(([name, sha256]) => ({
      name,
      sha256,
      content: Buffer.from(incoming.privateFiles[name] ?? []),
    })),
  };
}

export function toIncomingReport(report: IncomingReport): GetIncomingResponse {
  const { figures } = report;
  return {
    state: STATE[report.state],
    ownershipEpoch: toUint64(report.ownershipEpoch),
    downtime: optionalDuration(figures?.downtimeMs),
    memoryProcessedBytes: figures?.memoryProcessedBytes,
    iterations: figures?.iterations,
    holdsSource: report.holdsSource,
    elapsed: optionalDuration(figures?.elapsedMs),
  };
}

/** A state that only a newer agent knows is unknown to us: nothing may be concluded from it. */
export function fromIncomingReport(response: GetIncomingResponse): IncomingReport {
  const state: IncomingState | undefined = Object.hasOwn(STATES, response.state)
    ? STATES[response.state as keyof typeof STATES]
    : undefined;
  return {
    state: state ?? 'unknown',
    ownershipEpoch: Number(response.ownershipEpoch),
    holdsSource: response.holdsSource,
    figures: fromFigures(response),
  };
}

/** Undefined if none of them is known. */
function fromFigures(response: GetIncomingResponse): ArrivalFigures | undefined {
  const { downtime, elapsed, memoryProcessedBytes, iterations } = response;
  const figures = {
    downtimeMs: downtime && durationMs(downtime),
    memoryProcessedBytes,
    iterations,
    elapsedMs: elapsed && durationMs(elapsed),
  };
  return Object.values(figures).every((figure) => figure === undefined) ? undefined : figures;
}

/** A reason that only a newer agent knows still blocks; its message tells the rest. */
export function fromIncomingBlocker(blocker: IncomingBlockerMessage): IncomingBlocker {
  const { reason, message, subject } = blocker;
  return { reason: isReason(reason) ? reason : 'MIGRATION_BLOCKED', message, subject };
}

export function toSighting(sighting: VmSighting): LocateVirtualMachineResponse {
  const { presence, ownershipEpoch } = sighting;
  return {
    ...sighting,
    presence: PRESENCE[presence],
    ownershipEpoch: ownershipEpoch === undefined ? undefined : toUint64(ownershipEpoch),
  };
}

/** What only a newer agent knows proves nothing. */
export function fromSighting(response: LocateVirtualMachineResponse): VmSighting {
  const { presence, isOwner, isRunning, ownershipEpoch } = response;
  const known: VmPresence | undefined = Object.hasOwn(PRESENCES, presence)
    ? PRESENCES[presence as keyof typeof PRESENCES]
    : undefined;
  return {
    presence: known ?? 'unknown',
    isOwner,
    isRunning,
    ownershipEpoch: ownershipEpoch === undefined ? undefined : Number(ownershipEpoch),
  };
}
