import { withoutEjectedMedia } from '../../core/ejected-media.ts';
import { AgentError, type Reason } from '../../core/errors.ts';
import { type MadeDisks, madeDiskOf, withMadeDisks } from '../../core/made-disks.ts';
import { parseBytes } from '../../core/quantity.ts';
import type { Machine } from '../../core/resources/machine.ts';
import { memoryBytesOf, roundingNotes } from '../../core/resources/machine-amounts.ts';
import type { PresetVm } from '../../core/resources/os-preset.ts';
import type { WantedVm } from '../../core/resources/parse-virtual-machine.ts';
import { summarize } from '../../core/resources/schema-issues.ts';
import { checkSupport, type Support } from '../../core/resources/support.ts';
import { virtualMachine } from '../../core/resources/virtual-machine.ts';
import { formatOf, isReadOnly, pathOf, type Volume } from '../../core/resources/volume.ts';
import { volumeFieldOf } from '../../core/resources/volumes-of.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HookName, HookRunner } from '../../drivers/hook-runner.ts';
import type { HostBridges } from '../../drivers/host-bridges.ts';
import type { DriftedPart } from '../../drivers/hypervisor-domains.ts';
import type { HypervisorHost } from '../../drivers/hypervisor-host.ts';
import type { ImageHolder, ImageInspector } from '../../drivers/images.ts';
import type { Amounts } from '../node/node.ts';
import type { NodeAccelerator } from '../node/node-accelerator.ts';
import { boardNotes, boardViolations } from './board-violations.ts';
import { busViolations } from './bus-violations.ts';
import { capacityViolations, dedicatedViolations } from './capacity-violations.ts';
import { cpuViolations } from './cpu-violations.ts';
import { encryptionViolations } from './encryption-violations.ts';
import {
  type Asked,
  type Asker,
  type Look,
  MACHINE,
  missing,
  type SpecViolation,
  sameFiles,
  unlikelyRaw,
  unusable,
  violationOf,
  wayWithout,
  writtenBases,
} from './file-violations.ts';
import { firmwareViolations } from './firmware-violations.ts';
import { hookViolations } from './hook-violations.ts';
import { missingBridges, sameAddresses } from './network-violations.ts';
import { commandNameOf } from './vm-words.ts';

export interface DefinitionValidatorOptions {
  readonly host: Pick<
    HypervisorHost,
    | 'getInfo'
    | 'findModelProblem'
    | 'findFirmwareProblems'
    | 'findMachineProblems'
    | 'listDiskBuses'
    | 'keepsDiskKeys'
  >;
  readonly images: ImageInspector;
  readonly bridges: HostBridges;
  readonly hooks: Pick<HookRunner, 'findProblem'>;
  /** What new VMs run on. */
  readonly accelerator: Pick<NodeAccelerator, 'current'>;
  /** What users call a VM of this node, such as `default/web`; undefined if it is none. */
  readonly nameOf: (vmUid: string) => string | undefined;
  /** The least memory that a VM may have, as a quantity. */
  readonly minMemory: string;
  /** What the node has in all. */
  readonly capacity: Amounts;
}

/** Why a VM is refused, the weightiest first: what is wrong in itself comes before what this node lacks. */
const WEIGHTS: readonly Reason[] = [
  'INVALID_SPEC',
  'NOT_SUPPORTED',
  'FEATURE_NOT_SUPPORTED',
  'CPU_INCOMPATIBLE',
  'NETWORK_NOT_FOUND',
];

const ALL_HOOKS: readonly HookName[] = ['preStart', 'postStart', 'preStop'];

interface ValidateOptions {
  readonly isStarted: boolean;
  /** What of it was filled in for its guest's system. */
  readonly preset?: Pick<PresetVm, 'set'>;
}

/** What a look at the files of a VM has found. */
interface FilesReport {
  readonly violations: readonly SpecViolation[];
  /** What of their contents is not as one may think, in sentences. */
  readonly contents: readonly string[];
}

/** A machine, and the disks that an agent has made for it. */
interface WithFiles {
  readonly machine: Machine;
  readonly madeDisks: MadeDisks;
}

interface AskedDisk extends Asked {
  readonly volume: Volume;
  readonly asker: Asker;
  /** An agent has made it. */
  readonly isMade: boolean;
}

const NO_FILES: FilesReport = { violations: [], contents: [] };

/** Says no to a VM that cannot work on this node before anything is made of it. */
export class DefinitionValidator {
  readonly #options: DefinitionValidatorOptions;

  constructor(options: DefinitionValidatorOptions) {
    this.#options = options;
  }

  /**
   * Fails with INVALID_SPEC, NOT_SUPPORTED, FEATURE_NOT_SUPPORTED, CPU_INCOMPATIBLE, NETWORK_NOT_FOUND or what is wrong with a file
   * (IMAGE_NOT_FOUND, IMAGE_INVALID, IMAGE_IN_USE, IMAGE_NOT_ALLOWED, IMAGE_NOT_READABLE, IMAGE_UNREACHABLE, DEVICE_IN_USE)
   * or a hook (HOOK_NOT_ALLOWED), naming every field that is wrong. Files and bridges are looked at only if the rest is right. Returns what is accepted but is not as one
   * may think, in sentences. That others use its images now is such a thing for a VM that is not started at once.
   */
  async validate(
    { metadata, spec }: WantedVm,
    { isStarted, preset }: ValidateOptions,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const machine = spec.template.spec;
    const { refused, notApplicable } = this.supportOf({ metadata, spec });
    const violations: SpecViolation[] = [
      ...this.#memoryViolations(machine),
      ...capacityViolations(machine, this.#options.capacity),
      ...refused.map((violation) => ({ ...violation, reason: 'NOT_SUPPORTED' as const })),
      ...(await this.#machineTypeViolations(machine, signal)),
      ...(await this.#cpuViolations(machine, signal)),
      ...(await firmwareViolations(machine, this.#options.host, signal)),
      ...(await busViolations(machine, this.#options.host, signal)),
      ...(await encryptionViolations(machine, this.#options.host, signal)),
      ...(await this.#boardViolations(machine, signal)),
      ...sameAddresses(machine, metadata.uid),
      ...(await this.#hookViolations(machine, ALL_HOOKS, signal)),
    ];
    const asker = { vmUid: metadata.uid, arrivesAs: undefined, isNew: true };
    const { violations: ofFiles, contents } =
      violations.length === 0
        ? await this.#lookAtFiles({ machine, madeDisks: {} }, asker, signal)
        : NO_FILES;
    const ofNetworks =
      violations.length === 0 ? await this.#networkViolations(machine, signal) : [];
    const [inUse, others] = [ofFiles.filter(isInUse), ofFiles.filter((one) => !isInUse(one))];
    throwIfAny(
      `accept VM ${JSON.stringify(metadata.name)}`,
      [...violations, ...ofNetworks, ...others, ...(isStarted ? inUse : [])].map((violation) =>
        presetViolation(violation, preset),
      ),
    );
    return [
      ...roundingNotes(machine),
      ...boardNotes(machine, this.#options.accelerator.current),
      ...notApplicable.map(({ field, description }) => `${field} ${description}`),
      ...inUse.map(({ field, description }) => `${field} ${description} before it is started`),
      ...contents,
    ];
  }

  /** Fails as `validate` does if a VM that is here cannot be started with its files, the node's bridges and the hook before that as they are now. */
  async assertStartable(
    definition: VmDefinition,
    drift: readonly DriftedPart[],
    signal: AbortSignal,
  ): Promise<void> {
    const { uid, name, madeDisks } = definition;
    const machine = withoutEjectedMedia(definition);
    const files = { machine, madeDisks };
    const asker = { vmUid: uid, arrivesAs: undefined };
    // What it would be started with may not be what its spec has.
    const violations = [
      // The driver would leave it on the CPUs of all.
      ...dedicatedViolations(machine, this.#options.capacity),
      ...(drift.includes('networks') ? [] : await this.#networkViolations(machine, signal)),
      ...(drift.includes('volumes') ? [] : await this.#fileViolations(files, asker, signal)),
      // Whatever else it has to run is told as a warning when it is to be.
      ...(await this.#hookViolations(machine, ['preStart'], signal)),
    ];
    throwIfAny(`start VM ${name}`, violations);
  }

  /** What of a VM this agent cannot carry out. Agents of other versions may have accepted it, so it is asked there too. */
  supportOf({ metadata, spec }: WantedVm): Support {
    return checkSupport(virtualMachine, { metadata, spec });
  }

  /**
   * Says no to a VM that another node has accepted and that could not work here. Fails as `validate` does, but with no word
   * about what nodes may think differently of.
   */
  async validateIncoming(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { uid, name, madeDisks } = definition;
    const machine = withoutEjectedMedia(definition);
    const asker = { vmUid: uid, arrivesAs: commandNameOf(definition) };
    const ofCpu = await this.#cpuViolations(machine, signal);
    const violations = [
      ...(await this.#machineTypeViolations(machine, signal)),
      ...capacityViolations(machine, this.#options.capacity),
      // Whether it can have the model that it runs with is asked of what runs.
      ...ofCpu.filter(({ field }) => field.endsWith('.features')),
      ...(await firmwareViolations(machine, this.#options.host, signal)),
      ...(await busViolations(machine, this.#options.host, signal)),
      ...(await encryptionViolations(machine, this.#options.host, signal)),
      ...(await this.#boardViolations(machine, signal)),
      ...(await this.#networkViolations(machine, signal)),
      ...(await this.#fileViolations({ machine, madeDisks }, asker, signal)),
      ...(await this.#hookViolations(machine, ALL_HOOKS, signal)),
    ];
    throwIfAny(`take VM ${name}`, violations);
  }

  async #networkViolations(
    machine: Machine,
    signal: AbortSignal,
  ): Promise<readonly SpecViolation[]> {
    if ((machine.networks ?? []).length === 0) return [];
    return missingBridges(machine, await this.#options.bridges.list(signal));
  }

  #memoryViolations(machine: Machine): readonly SpecViolation[] {
    const { minMemory } = this.#options;
    if (memoryBytesOf(machine) >= Number(parseBytes(minMemory) ?? 0n)) return [];
    const description = `must be at least ${minMemory}, not ${machine.resources.memory}; the node's setting limits.minMemory says so`;
    return [{ field: `${MACHINE}.resources.memory`, description, reason: 'INVALID_SPEC' }];
  }

  async #machineTypeViolations(machine: Machine, signal: AbortSignal): Promise<SpecViolation[]> {
    const { machineType } = machine;
    if (machineType === undefined) return [];
    const { machineTypes, qemuVersion } = await this.#options.host.getInfo(signal);
    if (machineTypes.includes(machineType)) return [];
    const description = `is ${machineType}, which QEMU ${qemuVersion} of this node does not have; leave it out or choose another node`;
    return [{ field: `${MACHINE}.machineType`, description, reason: 'FEATURE_NOT_SUPPORTED' }];
  }

  #cpuViolations(machine: Machine, signal: AbortSignal): Promise<readonly SpecViolation[]> {
    const { host, accelerator } = this.#options;
    return cpuViolations(machine, host, accelerator.current, signal);
  }

  #boardViolations(machine: Machine, signal: AbortSignal): Promise<readonly SpecViolation[]> {
    const { host, accelerator } = this.#options;
    return boardViolations(machine, host, accelerator.current, signal);
  }

  #hookViolations(
    { lifecycle }: Machine,
    names: readonly HookName[],
    signal: AbortSignal,
  ): Promise<readonly SpecViolation[]> {
    return hookViolations(lifecycle, names, this.#options.hooks, signal);
  }

  async #fileViolations(
    files: WithFiles,
    asker: Asker,
    signal: AbortSignal,
  ): Promise<readonly SpecViolation[]> {
    return (await this.#lookAtFiles(files, asker, signal)).violations;
  }

  /** Everything that keeps a VM from using its files here, by field, and what is in them that does not. */
  async #lookAtFiles(
    { machine, madeDisks }: WithFiles,
    asker: Asker,
    signal: AbortSignal,
  ): Promise<FilesReport> {
    const { volumes = [], kernel } = withMadeDisks(machine, madeDisks);
    if (volumes.length === 0 && kernel === undefined) return NO_FILES;
    const { processOwner: user } = await this.#options.host.getInfo(signal);
    const boot = (['path', 'initrd'] as const).flatMap((name) => {
      const [path, field] = [kernel?.[name], `${MACHINE}.kernel.${name}`];
      return path === undefined ? [] : [this.#checkBootFile({ path, field, user }, signal)];
    });
    const disks = volumes.map((volume) => {
      const field = `${MACHINE}.${volumeFieldOf(machine, volume.name)}`;
      const isMade =
        volume.source !== undefined && madeDiskOf(madeDisks, volume.name)?.path === pathOf(volume);
      return this.#look({ volume, asker, field, user, isMade }, signal);
    });
    // Waited for together: what fails while something else is waited for would end the agent.
    const [looks, boots] = await Promise.all([Promise.all(disks), Promise.all(boot)]);
    const found = looks.filter((look) => look !== undefined);
    const violations = [
      ...found.flatMap(({ violation }) => violation ?? []),
      ...sameFiles(found),
      ...writtenBases(found),
      ...found.flatMap((look) => this.#inUse(look, asker) ?? []),
      ...boots.filter((violation) => violation !== undefined),
    ];
    return { violations, contents: found.flatMap((look) => unlikelyRaw(look) ?? []) };
  }

  async #look(
    { volume, asker, field, user, isMade }: AskedDisk,
    signal: AbortSignal,
  ): Promise<Look | undefined> {
    const { file, block } = volume.source ?? {};
    const place = file ?? block;
    if (place === undefined) return undefined;
    const { path } = place;
    const ofSource = `${field}.source.${file === undefined ? 'block' : 'file'}.path`;
    const pathField = isMade ? field : ofSource;
    const kind = file === undefined ? 'block-device' : 'file';
    const format = formatOf(volume);
    const plain = { path, format, kind, isReadOnly: isReadOnly(volume) } as const;
    // What a guest writes to its disk must never matter, so only whoever gives it the disk is told.
    const tellsContent = asker.isNew === true;
    const encryption = volume.encryption && 'required';
    const query = { ...plain, encryption, user, tellsContent } as const;
    const image = await this.#options.images.find(query, signal);
    const without = wayWithout(volume, asker);
    const isArriving = asker.arrivesAs !== undefined;
    const asked = { ...plain, field, pathField, without, isArriving, isMade } as const;
    return { ...asked, image, violation: violationOf(asked, image) };
  }

  #inUse({ image, pathField: field, path }: Look, asker: Asker): SpecViolation | undefined {
    const inTheWay = (image?.holders ?? []).filter(
      ({ pid, vmUid }) =>
        (vmUid === undefined || vmUid !== asker.vmUid) &&
        (pid !== undefined || asker.arrivesAs === undefined),
    );
    if (inTheWay.length === 0) return undefined;
    const who = inTheWay.map((holder) => this.#nameOf(holder)).join(' and ');
    const isVm = inTheWay.every(({ vmUid }) => vmUid !== undefined);
    const end = isVm ? 'shut that down' : 'end that (see fuser -v on the node)';
    const description = `is ${path}, which ${who} has open; ${end}, or use another image`;
    return { field, description, reason: 'IMAGE_IN_USE' };
  }

  #nameOf({ pid, program, vmUid, vmName }: ImageHolder): string {
    if (pid === undefined) return 'somebody';
    const name = vmUid && this.#options.nameOf(vmUid);
    if (name !== undefined && name !== '') return `VM ${name}`;
    return vmName === '' ? `${program} (pid ${pid})` : `the domain ${vmName} (pid ${pid})`;
  }

  async #checkBootFile(
    { path, field, user }: { readonly path: string } & Asked,
    signal: AbortSignal,
  ): Promise<SpecViolation | undefined> {
    const found = await this.#options.images.findBootFile(path, user, signal);
    if (found === undefined) return missing(field, path);
    return found.problem && unusable(field, path, found.problem);
  }
}

function isInUse({ reason }: SpecViolation): boolean {
  return reason === 'IMAGE_IN_USE';
}

/** Nobody finds in his manifest what a preset has put there. */
function presetViolation(
  violation: SpecViolation,
  preset: ValidateOptions['preset'],
): SpecViolation {
  const own = preset?.set.find(({ field }) => violation.field.startsWith(`${MACHINE}.${field}`));
  if (own === undefined) return violation;
  // Neither Secure Boot nor a TPM is filled in then.
  const way = own.field.startsWith('firmware') ? 'firmware.type bios' : `another ${own.field}`;
  const description = `${violation.description} (os: windows has set ${own.field} to ${own.value}; give ${way} to do without)`;
  return { ...violation, description };
}

function weight({ reason }: SpecViolation): number {
  const at = WEIGHTS.indexOf(reason);
  return at < 0 ? WEIGHTS.length : at;
}

/** One error for all violations, with the reason of the weightiest. */
function throwIfAny(what: string, violations: readonly SpecViolation[]): void {
  const weighed = violations.toSorted((left, right) => weight(left) - weight(right));
  const [first] = weighed;
  if (first === undefined) return;
  const { reason, resource } = first;
  throw new AgentError(reason, `Cannot ${what}: ${summarize(weighed)}`, {
    metadata: resource === undefined ? {} : { resource },
    violations: violations.map(({ field, description }) => ({ field, description })),
  });
}
