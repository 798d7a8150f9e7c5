import { AgentError, hasReason } from '../../core/errors.ts';
import { type ImageSource, imageSource } from '../../core/resources/image-source.ts';
import { checkSupport } from '../../core/resources/support.ts';
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
