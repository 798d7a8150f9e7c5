import { resolvedMachine } from '../../core/made-disks.ts';
import { formatOf, isReadOnly, pathOf } from '../../core/resources/volume.ts';
import type { HypervisorVm } from '../../drivers/hypervisor-domains.ts';

/** An image that a VM has, or that its next start gives it. */
export interface UsedImage {
  readonly path: string;
  /** What it is read as. */
  readonly format: string;
  /** The VM never writes to it. */
  readonly isReadOnly: boolean;
}

/** A VM, and what it has now where that is known. */
type ImageUser = Pick<HypervisorVm, 'definition'> & Partial<Pick<HypervisorVm, 'disks'>>;

/** What a VM has, and what its next start gives it: each image once, or once for each format that it is read as. */
export function imagesOf({ definition, disks = [] }: ImageUser): readonly UsedImage[] {
  const now = disks.flatMap(({ images, readOnly }) =>
    images.flatMap(({ kind, path, format }, index) =>
      // Only the first of a chain is written to.
      kind === 'other' ? [] : [{ path, format, isReadOnly: readOnly || index > 0 }],
    ),
  );
  const next = ((definition && resolvedMachine(definition).volumes) ?? []).flatMap((volume) => {
    const path = pathOf(volume);
    const how = { format: formatOf(volume), isReadOnly: isReadOnly(volume) };
    return path === undefined ? [] : [{ path, ...how }];
  });
  const images = new Map<string, UsedImage>();
  for (const image of [...now, ...next]) {
    const key = `${image.format} ${image.path}`;
    const isNeverWritten = image.isReadOnly && images.get(key)?.isReadOnly !== false;
    images.set(key, { ...image, isReadOnly: isNeverWritten });
  }
  return [...images.values()];
}

/** The first of these VMs that has one of these images, with its path. Those who only read one may share it. */
export function findImageUser<T extends ImageUser>(
  vms: readonly T[],
  wanted: readonly Pick<UsedImage, 'path' | 'isReadOnly'>[],
): { readonly user: T; readonly path: string } | undefined {
  for (const user of vms) {
    const shared = imagesOf(user).find((image) =>
      wanted.some((one) => one.path === image.path && !(one.isReadOnly && image.isReadOnly)),
    );
    if (shared !== undefined) return { user, path: shared.path };
  }
  return undefined;
}
