import { AgentError, type FieldViolation, hasReason } from '../../core/errors.ts';
import { copiedImageOf, type MadeDisk } from '../../core/made-disks.ts';
import { formatBytesQuantity } from '../../core/quantity.ts';
import { type ImageSource, imageSource, shownSource } from '../../core/resources/image-source.ts';
import type { Machine } from '../../core/resources/machine.ts';
import { checkSupport } from '../../core/resources/support.ts';
import type { Volume } from '../../core/resources/volume.ts';
import { imageFieldOf } from '../../core/resources/volumes-of.ts';
import type { StoredImage } from '../../drivers/image-store.ts';
import type { ForeseenImage } from '../images/image.ts';
import type { ImageManager } from '../images/image-manager.ts';
import { wantOf } from '../images/image-wants.ts';
import { MACHINE } from './file-violations.ts';
import { type GivenSecrets, givenSecret } from './given-secrets.ts';

export interface PlanOptions {
  /** Whether it is enough to know what images would be; else they must be here. */
  readonly foresees: boolean;
  /** Secrets that came with the request. */
  readonly secrets: GivenSecrets | undefined;
}

export interface DiskImageQuery extends PlanOptions {
  readonly image: ImageSource;
  /** Where the machine names it. */
  readonly field: string;
}

/** What a disk is to be made from. Fails as images are foreseen, or with STATE_NOT_READY where it must be here and is not. */
export async function findDiskImage(
  sources: Pick<ImageManager, 'foresee' | 'get'>,
  { image, field, foresees, secrets }: DiskImageQuery,
  signal: AbortSignal,
): Promise<ForeseenImage> {
  const want = wantOf(image, (name) => givenSecret(secrets, name));
  // Whoever refuses it says so with all else that is not possible.
  const isRefused = checkSupport(imageSource, image).refused.length > 0;
  if (isRefused) return { stored: undefined, virtualBytes: undefined };
  if (!foresees) {
    const stored = await sources.get(want, signal);
    return { stored, virtualBytes: stored.virtualBytes };
  }
  try {
    return await sources.foresee(want, signal);
  } catch (error) {
    if (!hasReason(error, 'SECRET_NOT_FOUND', 'INVALID_SPEC')) throw error;
    const named = hasReason(error, 'INVALID_SPEC') && image.auth === undefined ? 'source' : 'auth';
    const violations = [{ field: `${MACHINE}.${field}.${named}`, description: error.message }];
    throw new AgentError(error.reason, error.message, { violations, cause: error.cause });
  }
}

/** What a disk was made as from its image it stays. */
export function* cloneProblems(
  volume: Volume,
  made: MadeDisk,
  machine: Machine,
): Generator<FieldViolation> {
  const clone = volume.source?.image?.clone;
  const was = copiedImageOf(made) === undefined ? 'thin' : 'full';
  if (clone === undefined || made.image === undefined || clone === was) return;
  const description = `is ${clone}, and the disk ${made.path} was made as a ${was} clone of its image; leave it out`;
  yield { field: `${MACHINE}.${imageFieldOf(machine, volume.name)}.clone`, description };
}

/** That of an encrypted disk is copied within a step of its operation, and all of it is written. */
export function assertCopiedAtOnce(
  { virtualBytes }: StoredImage,
  { source }: ImageSource,
  field: string,
): void {
  if (virtualBytes <= MAX_COPY_BYTES) return;
  const [takes, most] = [virtualBytes, MAX_COPY_BYTES].map((bytes) =>
    formatBytesQuantity(BigInt(Math.ceil(bytes / 2 ** 20) * 2 ** 20)),
  );
  const description = `is copied into an encrypted disk, and of so large an image (${shownSource(source)}, ${takes}) that cannot be done yet, but of ${most} at most; leave format: raw out for a disk that stands on the image, or the encryption`;
  throw new AgentError('NOT_SUPPORTED', `Cannot make a disk: ${MACHINE}.${field} ${description}`, {
    violations: [{ field: `${MACHINE}.${field}`, description }],
  });
}

const MAX_COPY_BYTES = 4 * 2 ** 30;
