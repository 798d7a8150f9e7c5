import { AgentError, hasReason } from '../../core/errors.ts';
import { type MadeDisk, madeDiskOf } from '../../core/made-disks.ts';
import { formatBytesQuantity } from '../../core/quantity.ts';
import { shownSource } from '../../core/resources/image-source.ts';
import type { Machine } from '../../core/resources/machine.ts';
import { identityOf } from '../../core/resources/parse-virtual-machine.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { CopyProgress } from '../../drivers/disk-files.ts';
import type { DiskCopies, WantedCopy } from '../images/disk-copies.ts';
import type { ImageProgress, ImageWant, WantedImage } from '../images/image.ts';
import type { ImageManager } from '../images/image-manager.ts';
import { wantsOf } from '../images/image-wants.ts';
import type { OperationProgress, OperationRecord } from '../operations/operation.ts';
import type { OperationWork, StepResult } from '../operations/operation-work.ts';
import { assertThere, type GivenSecrets, givenSecret } from './given-secrets.ts';
import { CHANGING_LIVE } from './live-waits.ts';
import type { VmDisks } from './vm-disks.ts';
import type { VmInventory } from './vm-inventory.ts';
import { changedDefinition, newDefinition, wantedVm } from './wanted-definition.ts';

export interface VmImagesOptions {
  readonly manager: Pick<ImageManager, 'want' | 'drop'>;
  readonly disks: Pick<VmDisks, 'listCopies'>;
  readonly copies: Pick<DiskCopies, 'want' | 'drop'>;
  readonly inventory: Pick<VmInventory, 'findByName'>;
}

const AGAIN = { afterMs: 500 };

/** Has the images come that VMs are to be made from, and copied where that is asked for, before anything of a VM is made or locked. */
export class VmImages {
  readonly #options: VmImagesOptions;

  constructor(options: VmImagesOptions) {
    this.#options = options;
  }

  /** An operation whose manifest may name images, with steps before the others in which these come, and are copied. */
  before(work: OperationWork): OperationWork {
    const { manager, copies } = this.#options;
    return {
      ...work,
      step: async (operation, signal, waitedMs) => {
        // What only waits for its guest has its images; the VM may have gone meanwhile.
        if (operation.step === CHANGING_LIVE) return await work.step(operation, signal, waitedMs);
        const coming = await this.#await(operation, signal);
        if (coming !== undefined) return coming;
        const copying = await this.#awaitCopies(operation, signal);
        if (copying !== undefined) return copying;
        return await work.step(operation, signal, waitedMs);
      },
      ended: (id) => {
        manager.drop(id);
        copies.drop(id);
        work.ended?.(id);
      },
    };
  }

  async #await(operation: OperationRecord, signal: AbortSignal): Promise<StepResult | undefined> {
    const { current, manifest, updateMask, secrets } = this.#wanted(operation);
    const findGiven = (name: string): Uint8Array | undefined => {
      assertThere(secrets);
      return givenSecret(secrets, name);
    };
    for (const want of missing(current, manifest, updateMask, findGiven)) {
      const found = await this.#want(want, operation.id, signal);
      if (found.kind === 'here') continue;
      const progress = toProgress(want, found.progress);
      return { isDone: false, step: 'fetching-image', progress, again: AGAIN };
    }
    return undefined;
  }

  async #awaitCopies(
    operation: OperationRecord,
    signal: AbortSignal,
  ): Promise<StepResult | undefined> {
    const { disks, copies } = this.#options;
    const { current, manifest, updateMask, secrets } = this.#wanted(operation);
    assertThere(secrets);
    if (current === undefined && updateMask !== undefined) return undefined;
    const wanted = wantedVm(current, manifest, updateMask);
    const { uid } = operation.vm;
    const next =
      current === undefined
        ? newDefinition({ ...wanted, metadata: { ...wanted.metadata, uid } }, '')
        : changedDefinition(current, wanted);
    for (const [volume, disk] of await disks.listCopies(next, secrets, signal)) {
      const found = await onlyOnce(copies.want(disk, operation.id));
      if (found.kind === 'ready') continue;
      const progress = copyProgress(volume, disk, found.progress);
      return { isDone: false, step: 'copying-image', progress, again: AGAIN };
    }
    return undefined;
  }

  #wanted({ parameters }: OperationRecord) {
    const { manifest, updateMask, secrets } = parameters as {
      readonly manifest: unknown;
      readonly updateMask?: readonly string[] | undefined;
      readonly secrets?: GivenSecrets | string | undefined;
    };
    const { namespace, name } = identityOf(manifest);
    const current = this.#options.inventory.findByName(namespace, name)?.definition;
    return { current, manifest, updateMask, secrets };
  }

  async #want(want: ImageWant, holder: string, signal: AbortSignal): Promise<WantedImage> {
    try {
      return await this.#options.manager.want(want, holder, signal);
    } catch (error) {
      if (!hasReason(error, 'STORAGE_FULL')) throw error;
      // Other operations wait for room. This one would fill it each time with what VMs need that run.
      const { message } = error as Error;
      throw new AgentError('IMAGE_FETCH_FAILED', message, { cause: error });
    }
  }
}

/** To try again would fill the disk each time with what VMs need that run. */
async function onlyOnce(copying: Promise<WantedCopy>): Promise<WantedCopy> {
  try {
    return await copying;
  } catch (error) {
    if (!(error instanceof AgentError) || error.reason !== 'STORAGE_FULL') throw error;
    throw new AgentError(error.reason, error.message, {
      cause: error,
      metadata: { ...error.metadata, retryable: 'false' },
    });
  }
}

/** The images that operations which go on are made from, in what an agent before this one has begun. */
export function wantedBy(operations: readonly OperationRecord[]): readonly ImageWant[] {
  return operations.flatMap(({ kind, parameters: { manifest, updateMask } }) => {
    if ((kind !== 'create' && kind !== 'apply') || updateMask !== undefined) return [];
    try {
      return missing(undefined, manifest, undefined, () => undefined);
    } catch {
      // Whoever carries it out refuses it.
      return [];
    }
  });
}

function missing(
  current: VmDefinition | undefined,
  manifest: unknown,
  updateMask: readonly string[] | undefined,
  findGiven: (name: string) => Uint8Array | undefined,
): readonly ImageWant[] {
  // A mask that names no VM is refused by whoever carries it out.
  if (current === undefined && updateMask !== undefined) return [];
  const machine: Machine = wantedVm(current, manifest, updateMask).spec.template.spec;
  const isMade = (volume: string) => madeDiskOf(current?.madeDisks ?? {}, volume) !== undefined;
  return wantsOf(machine, isMade, findGiven);
}

function toProgress(
  want: ImageWant,
  { step, bytes, totalBytes }: ImageProgress,
): OperationProgress {
  const source = shownSource(want.source);
  const whole = totalBytes === undefined ? '' : ` of ${amount(totalBytes)}`;
  const message = {
    waiting: `Waiting for other images to come before ${source}`,
    fetching: `Fetching ${source}: ${amount(bytes)}${whole}`,
    checking: `Checking ${source}`,
  }[step];
  const isKnown = step === 'fetching' && totalBytes !== undefined && totalBytes > 0;
  const fractionDone = isKnown ? Math.min(1, bytes / totalBytes) : undefined;
  return { fractionDone, message, waitedMs: undefined, leftMs: undefined };
}

function copyProgress(
  volume: string,
  { image }: MadeDisk,
  progress: CopyProgress | undefined,
): OperationProgress {
  const what = `${shownSource(image?.source ?? '')} into the disk ${volume}`;
  const unknown = { fractionDone: undefined, waitedMs: undefined, leftMs: undefined };
  if (progress === undefined) {
    return { ...unknown, message: `Waiting for other images to be copied before ${what}` };
  }
  const { bytes, totalBytes } = progress;
  const message = `Copying ${what}: ${amount(bytes)} of ${amount(totalBytes)}`;
  return { ...unknown, fractionDone: totalBytes === 0 ? 1 : bytes / totalBytes, message };
}

/** In whole MiB, so that it is not told anew with every byte. */
function amount(bytes: number): string {
  return formatBytesQuantity(BigInt(Math.ceil(bytes / 2 ** 20) * 2 ** 20));
}
