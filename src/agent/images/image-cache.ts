import type { ImagePart, StoredImage } from '../../drivers/image-store.ts';

/** Which parts of contents that nobody waits for are to go, those first that are given first, as `tooMuch` says of images. */
export function tooManyParts(
  parts: readonly ImagePart[],
  images: readonly StoredImage[],
  allowedBytes: number,
): readonly ImagePart[] {
  let bytes = [...parts, ...images].reduce((sum, { diskBytes }) => sum + diskBytes, 0);
  return parts.filter(({ diskBytes }) => {
    if (bytes <= allowedBytes) return false;
    bytes -= diskBytes;
    return true;
  });
}

/**
 * Which images are to go, so that all together take no more than they may: of those that no disk stands on the one first that was used
 * longest ago. One that was used since `freshSinceMs` may be about to be stood on.
 */
export function tooMuch(
  images: readonly StoredImage[],
  allowedBytes: number,
  freshSinceMs: number,
): readonly StoredImage[] {
  let bytes = images.reduce((sum, { diskBytes }) => sum + diskBytes, 0);
  const idle = images
    .filter(({ usedBy, lastUsedAtMs }) => usedBy.length === 0 && lastUsedAtMs < freshSinceMs)
    .toSorted((left, right) => left.lastUsedAtMs - right.lastUsedAtMs);
  return idle.filter(({ diskBytes }) => {
    if (bytes <= allowedBytes) return false;
    bytes -= diskBytes;
    return true;
  });
}
