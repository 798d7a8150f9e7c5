import { AgentError, type FieldViolation, type Reason } from '../../core/errors.ts';
import { parseBytes } from '../../core/quantity.ts';
import type { Machine } from '../../core/resources/machine.ts';
import { memoryBytesOf, roundingNotes } from '../../core/resources/machine-amounts.ts';
import type { WantedVm } from '../../core/resources/parse-virtual-machine.ts';
import { summarize } from '../../core/resources/schema-issues.ts';
import { checkSupport, type Support } from '../../core/resources/support.ts';
import { virtualMachine } from '../../core/resources/virtual-machine.ts';
import { formatOf, isReadOnly, type Volume } from '../../core/resources/volume.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { FileOwner, HypervisorHost } from '../../drivers/hypervisor-host.ts';
import type { FileKind, ImageInspector, ImageProblem } from '../../drivers/images.ts';

export interface DefinitionValidatorOptions {
  readonly host: Pick<HypervisorHost, 'getInfo'>;
  readonly images: ImageInspector;
  /** The least memory that a VM may have, as a quantity. */
  readonly minMemory: string;
}

/** A violation and the reason that it alone would fail with. */
interface SpecViolation extends FieldViolation {
  readonly reason: Reason;
}

/** Why a VM is refused, the weightiest first: what is wrong in itself comes before what this node lacks. */
const WEIGHTS: readonly Reason[] = ['INVALID_SPEC', 'NOT_SUPPORTED', 'FEATURE_NOT_SUPPORTED'];

const MACHINE = 'spec.template.spec';

/** Says no to a VM that cannot work on this node before anything is made of it. */
export class DefinitionValidator {
  readonly #options: DefinitionValidatorOptions;

  constructor(options: DefinitionValidatorOptions) {
    this.#options = options;
  }

  /**
   * Fails with INVALID_SPEC, NOT_SUPPORTED, FEATURE_NOT_SUPPORTED or what is wrong with a file (IMAGE_NOT_FOUND, IMAGE_INVALID,
   * IMAGE_NOT_ALLOWED, IMAGE_NOT_READABLE, IMAGE_UNREACHABLE, DEVICE_IN_USE), naming every field that is wrong. Files are looked at only if the rest is right. Returns what is accepted but is not as one may
   * think, in sentences.
   */
  async validate({ metadata, spec }: WantedVm, signal: AbortSignal): Promise<readonly string[]> {
    const machine = spec.template.spec;
    const { refused, notApplicable } = this.supportOf({ metadata, spec });
    const violations: SpecViolation[] = [
      ...this.#memoryViolations(machine),
      ...refused.map((violation) => ({ ...violation, reason: 'NOT_SUPPORTED' as const })),
      ...(await this.#machineTypeViolations(machine, signal)),
    ];
    if (violations.length === 0) violations.push(...(await this.#fileViolations(machine, signal)));
    throwIfAny(metadata.name, violations);
    return [
      ...roundingNotes(machine),
      ...notApplicable.map(({ field, description }) => `${field} ${description}`),
    ];
  }

  /** What of a VM this agent cannot carry out. Agents of other versions may have accepted it, so it is asked there too. */
  supportOf({ metadata, spec }: WantedVm): Support {
    return checkSupport(virtualMachine, { metadata, spec });
  }

  /**
   * Says no to a VM that another node has accepted and that could not work here. Fails as `validate` does, but with no word
   * about what nodes may think differently of.
   */
  async validateIncoming({ name, spec }: VmDefinition, signal: AbortSignal): Promise<void> {
    const machine = spec.template.spec;
    const violations = [
      ...(await this.#machineTypeViolations(machine, signal)),
      ...(await this.#fileViolations(machine, signal)),
    ];
    throwIfAny(name, violations);
  }

  #memoryViolations(machine: Machine): SpecViolation[] {
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

  async #fileViolations(
    { volumes = [], kernel }: Machine,
    signal: AbortSignal,
  ): Promise<SpecViolation[]> {
    if (volumes.length === 0 && kernel === undefined) return [];
    const { processOwner: user } = await this.#options.host.getInfo(signal);
    const checks = volumes.map((volume, index) =>
      this.#checkVolume({ volume, field: `${MACHINE}.volumes[${index}]`, user }, signal),
    );
    for (const [name, path] of [
      ['path', kernel?.path],
      ['initrd', kernel?.initrd],
    ] as const) {
      if (path === undefined) continue;
      checks.push(this.#checkBootFile({ path, field: `${MACHINE}.kernel.${name}`, user }, signal));
    }
    return (await Promise.all(checks)).filter((violation) => violation !== undefined);
  }

  async #checkVolume(
    { volume, field, user }: { readonly volume: Volume } & Asked,
    signal: AbortSignal,
  ): Promise<SpecViolation | undefined> {
    const { file, block } = volume.source ?? {};
    const place = file ?? block;
    if (place === undefined) return undefined;
    const pathField = `${field}.source.${file === undefined ? 'block' : 'file'}.path`;
    const wanted = file === undefined ? 'block-device' : 'file';
    const format = formatOf(volume);
    const readOnly = isReadOnly(volume);
    const query = { path: place.path, kind: wanted, format, isReadOnly: readOnly, user } as const;
    const image = await this.#options.images.find(query, signal);
    if (image === undefined) return missing(pathField, place.path);
    if (image.problem !== undefined) return unusable(pathField, place.path, image.problem);
    const kind = kindProblem(image.kind, wanted);
    if (kind !== undefined) {
      const description = `is ${place.path}, which ${kind}`;
      return { field: pathField, description, reason: 'IMAGE_INVALID' };
    }
    if (image.format === format) return undefined;
    const description = `is ${format}, but ${place.path} is ${image.format}; correct the format or convert it with: qemu-img convert -O ${format}`;
    return { field: `${field}.format`, description, reason: 'IMAGE_INVALID' };
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

/** The field that a file is asked about for, and whom QEMU runs as. */
interface Asked {
  readonly field: string;
  readonly user: FileOwner | undefined;
}

function unusable(field: string, path: string, { reason, text }: ImageProblem): SpecViolation {
  return { field, description: `is ${path}, which cannot be used: ${text}`, reason };
}

function kindProblem(found: FileKind, wanted: 'file' | 'block-device'): string | undefined {
  if (found === wanted) return undefined;
  return wanted === 'file'
    ? 'is a block device; name it as source.block'
    : 'is no block device; name it as source.file';
}

function missing(field: string, path: string): SpecViolation {
  const description = `is ${path}, which does not exist on this node; put the file there or correct the path`;
  return { field, description, reason: 'IMAGE_NOT_FOUND' };
}

/** One error for all violations, with the reason of the weightiest. */
function throwIfAny(name: string, violations: readonly SpecViolation[]): void {
  const weight = ({ reason }: SpecViolation): number => {
    const at = WEIGHTS.indexOf(reason);
    return at < 0 ? WEIGHTS.length : at;
  };
  const weighed = violations.toSorted((left, right) => weight(left) - weight(right));
  const [first] = weighed;
  if (first === undefined) return;
  throw new AgentError(
    first.reason,
    `Cannot accept VM ${JSON.stringify(name)}: ${summarize(weighed)}`,
    { violations: violations.map(({ field, description }) => ({ field, description })) },
  );
}
