import { AgentError } from '../../core/errors.ts';
import type { MadeDisk } from '../../core/made-disks.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDomains, HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { ImageInfo, ImageInspector } from '../../drivers/images.ts';
import { findImageUser, imagesOf, type UsedImage } from './image-users.ts';
import { commandNameOf } from './vm-words.ts';

export interface DiskUsersOptions {
  readonly domains: Pick<HypervisorDomains, 'list'>;
  readonly images: Pick<ImageInspector, 'find'>;
}

/**
 * Who else has what was made for a VM: it is a file like any other, so another VM, whoever has made that and be it off, may have it as
 * its disk, or have its disk stand on it.
 */
export class DiskUsers {
  readonly #options: DiskUsersOptions;

  constructor(options: DiskUsersOptions) {
    this.#options = options;
  }

  /** Fails with IMAGE_IN_USE if another VM has one of its disks, or if that cannot be told of one. */
  async assertNone(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const made = Object.values(definition.madeDisks);
    if (made.length === 0) return;
    const listed = await this.#options.domains.list(signal);
    const others = listed.filter(({ uid }) => uid !== definition.uid);
    const wanted = made.map(({ path }) => ({ path, isReadOnly: false }));
    const named = findImageUser(others, wanted);
    if (named !== undefined) throw usedBy(definition, named.user, named.path);
    const unread = others.find(({ isRead }) => !isRead);
    if (unread !== undefined) {
      throw inUse(
        definition,
        `libvirt could not describe ${unread.hypervisorName}, which may have one of them; try again`,
      );
    }
    await this.#assertNoneStandsOn(definition, made, others, signal);
  }

  /** Of those that name none of the disks: another name may lead to the same file, and an overlay stands on one. */
  async #assertNoneStandsOn(
    definition: VmDefinition,
    made: readonly MadeDisk[],
    others: readonly HypervisorVm[],
    signal: AbortSignal,
  ): Promise<void> {
    const found = await Promise.all(made.map((disk) => this.#look(disk, signal)));
    const ids = new Set(found.flatMap((image) => image?.fileId ?? []));
    if (ids.size === 0) return;
    for (const other of others) {
      for (const used of imagesOf(other)) {
        const image = await this.#look(used, signal);
        const all = image === undefined ? [] : [image.fileId, ...image.behind];
        if (all.some((id) => id !== undefined && ids.has(id))) {
          throw usedBy(definition, other, used.path);
        }
      }
    }
  }

  async #look(
    { path, format }: Pick<UsedImage, 'path' | 'format'>,
    signal: AbortSignal,
  ): Promise<ImageInfo | undefined> {
    const asked = {
      path,
      kind: 'file',
      isReadOnly: true,
      encryption: 'any',
      user: undefined,
    } as const;
    return await this.#options.images.find(
      { ...asked, format: format === 'raw' ? 'raw' : 'qcow2' },
      signal,
    );
  }
}

function usedBy(definition: VmDefinition, other: HypervisorVm, path: string): AgentError {
  const who =
    other.definition === undefined
      ? `the domain ${other.hypervisorName}`
      : `VM ${commandNameOf(other.definition)}`;
  return inUse(
    definition,
    `${who} has ${path}, or a disk that stands on it; take it out of that one`,
  );
}

function inUse({ uid, name }: VmDefinition, why: string): AgentError {
  return new AgentError(
    'IMAGE_IN_USE',
    `Cannot delete the disks of VM ${name}: ${why}, or delete this VM without its disks`,
    { metadata: { vmId: uid } },
  );
}
