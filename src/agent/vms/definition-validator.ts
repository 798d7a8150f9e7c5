import type { DiskSpec, VmDefinition } from '../../core/vm-spec.ts';
import type { ImageInspector } from '../../drivers/images.ts';
import type { Capacity } from './capacity.ts';
import { type SpecViolation, validateDefinition, violationError } from './validate-spec.ts';

export interface DefinitionValidatorOptions {
  readonly capacity: Capacity;
  readonly images: ImageInspector;
}

/** Says no to a VM that cannot work on this node before anything is made of it. */
export class DefinitionValidator {
  readonly #capacity: Capacity;
  readonly #images: ImageInspector;

  constructor(options: DefinitionValidatorOptions) {
    this.#capacity = options.capacity;
    this.#images = options.images;
  }

  /**
   * Fails with INVALID_SPEC, NODE_CAPACITY_EXCEEDED, IMAGE_NOT_FOUND or IMAGE_INVALID, naming every field that is
   * wrong. Files are looked at only if the spec is valid in itself.
   */
  async validate(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const violations = validateDefinition(definition, this.#capacity);
    if (violations.every(({ reason }) => reason !== 'INVALID_SPEC')) {
      violations.push(...(await this.#fileViolations(definition, signal)));
    }
    if (violations.length > 0) throw violationError(definition.name, violations);
  }

  async #fileViolations(
    { spec }: VmDefinition,
    signal: AbortSignal,
  ): Promise<readonly SpecViolation[]> {
    const checks = spec.disks.map((disk, index) =>
      this.#checkDisk(disk, `spec.disks[${index}]`, signal),
    );
    if (spec.boot.kind === 'kernel') {
      const { kernelPath, initrdPath } = spec.boot;
      checks.push(this.#checkFile(kernelPath, 'spec.boot.kernel.kernel_path', signal));
      if (initrdPath !== undefined) {
        checks.push(this.#checkFile(initrdPath, 'spec.boot.kernel.initrd_path', signal));
      }
    }
    return (await Promise.all(checks)).filter((violation) => violation !== undefined);
  }

  async #checkDisk(
    disk: DiskSpec,
    field: string,
    signal: AbortSignal,
  ): Promise<SpecViolation | undefined> {
    const image = await this.#images.find(disk.path, signal);
    if (image === undefined) return missing(`${field}.path`, disk.path);
    if (image.problem !== undefined) {
      return invalidImage(
        `${field}.path`,
        `is ${disk.path}, which cannot be used: ${image.problem}`,
      );
    }
    if (image.format === disk.format) return undefined;
    return invalidImage(
      `${field}.format`,
      `is ${disk.format}, but ${disk.path} is ${image.format}; correct the format or convert it with: qemu-img convert -O ${disk.format}`,
    );
  }

  async #checkFile(
    path: string,
    field: string,
    signal: AbortSignal,
  ): Promise<SpecViolation | undefined> {
    const kind = await this.#images.findKind(path, signal);
    if (kind === undefined) return missing(field, path);
    return kind === 'file' ? undefined : invalidImage(field, `is ${path}, which is no plain file`);
  }
}

function missing(field: string, path: string): SpecViolation {
  const description = `is ${path}, which does not exist on this node; put the file there or correct the path`;
  return { field, description, reason: 'IMAGE_NOT_FOUND' };
}

function invalidImage(field: string, description: string): SpecViolation {
  return { field, description, reason: 'IMAGE_INVALID' };
}
