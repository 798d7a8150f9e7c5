import { AgentError } from '../../core/errors.ts';
import { resolvedMachine } from '../../core/made-disks.ts';
import { pathOf } from '../../core/resources/volume.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDomains, HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { ImageInfo, ImageInspector } from '../../drivers/images.ts';
import { commandNameOf } from './vm-words.ts';

export interface DiskUsersOptions {
  readonly domains: Pick<HypervisorDomains, 'list'>;
  readonly images: Pick<ImageInspector, 'find'>;
}

/** An image that a VM names, or has. */
interface Named {
  readonly path: string;
  readonly format: string;
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
    const { uid, madeDisks } = definition;
    const made = Object.values(madeDisks);
    if (made.length === 0) return;
    const paths = new Set(made.map(({ path }) => path));
    const ids = new Set(await this.#idsOf(made, signal));
    const others = (await this.#options.domains.list(signal)).filter((vm) => vm.uid !== uid);
    for (const other of others) {
      if (!other.isRead) {
        throw inUse(
          definition,
          `libvirt could not describe ${other.hypervisorName}, which may have one of them; try again`,
        );
      }
      const path = await this.#findShared(other, paths, ids, signal);
      if (path === undefined) continue;
      const who =
        other.definition === undefined
          ? `the domain ${other.hypervisorName}`
          : `VM ${commandNameOf(other.definition)}`;
      throw inUse(
        definition,
        `${who} has ${path}, or a disk that stands on it; take it out of that one`,
      );
    }
  }

  /** The path of what another VM has of these. */
  async #findShared(
    other: HypervisorVm,
    paths: ReadonlySet<string>,
    ids: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    for (const named of imagesOf(other)) {
      if (paths.has(named.path)) return named.path;
      // The same file by another name, or what an overlay stands on.
      const image = ids.size === 0 ? undefined : await this.#look(named, signal);
      const all = image === undefined ? [] : [image.fileId, ...image.behind];
      if (all.some((id) => id !== undefined && ids.has(id))) return named.path;
    }
    return undefined;
  }

  async #idsOf(images: readonly Named[], signal: AbortSignal): Promise<readonly string[]> {
    const found = await Promise.all(images.map((image) => this.#look(image, signal)));
    return found.flatMap((image) => image?.fileId ?? []);
  }

  async #look({ path, format }: Named, signal: AbortSignal): Promise<ImageInfo | undefined> {
    const asked = { path, kind: 'file', isReadOnly: true, user: undefined } as const;
    return await this.#options.images.find(
      { ...asked, format: format === 'raw' ? 'raw' : 'qcow2' },
      signal,
    );
  }
}

/** What it has, and what its next start gives it. */
function imagesOf({ definition, volumes, disks }: HypervisorVm): readonly Named[] {
  const next = (definition && resolvedMachine(definition).volumes) ?? [];
  return [
    ...volumes,
    ...disks.flatMap(({ images }) => images.filter(({ kind }) => kind === 'file')),
    ...next.map((volume) => ({ path: pathOf(volume), format: volume.format ?? 'raw' })),
  ].flatMap(({ path, format }) => (path === undefined ? [] : [{ path, format }]));
}

function inUse({ uid, name }: VmDefinition, why: string): AgentError {
  return new AgentError(
    'IMAGE_IN_USE',
    `Cannot delete the disks of VM ${name}: ${why}, or delete this VM without its disks`,
    { metadata: { vmId: uid } },
  );
}
