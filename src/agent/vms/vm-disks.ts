import path from 'node:path';
import { AgentError, type FieldViolation, hasReason } from '../../core/errors.ts';
import { imageToCopy, type MadeDisk, type MadeDisks, madeDiskOf } from '../../core/made-disks.ts';
import { formatBytesQuantity } from '../../core/quantity.ts';
import { shownSource } from '../../core/resources/image-source.ts';
import type { Machine } from '../../core/resources/machine.ts';
import { summarize } from '../../core/resources/schema-issues.ts';
import { formatOf, type Volume } from '../../core/resources/volume.ts';
import {
  diskBytesOf,
  imageFieldOf,
  isCopiedFromImage,
  isMadeByAgent,
  sizeFieldOf,
  volumeFieldOf,
  volumesOf,
  wholeSectors,
} from '../../core/resources/volumes-of.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { DiskFiles, NewDisk } from '../../drivers/disk-files.ts';
import type { HypervisorHost } from '../../drivers/hypervisor-host.ts';
import type { ImageInspector } from '../../drivers/images.ts';
import type { DiskCopies } from '../images/disk-copies.ts';
import { digestText } from '../images/image.ts';
import type { ImageManager } from '../images/image-manager.ts';
import { diskHalfMadeIn, isHalfMade, vmUidOf } from './disk-file-names.ts';
import {
  assertCopiedAtOnce,
  cloneProblems,
  findDiskImage,
  type PlanOptions,
} from './disk-image.ts';
import { changeNotes, localityNotes, roomNote } from './disk-notes.ts';
import { MACHINE } from './file-violations.ts';
import { otherKey } from './other-key.ts';
import type { VmDiskKeys } from './vm-disk-keys.ts';

export interface VmDisksOptions {
  readonly files: DiskFiles;
  readonly images: Pick<ImageInspector, 'find' | 'listMissing'>;
  /** What disks are made from. */
  readonly sources: Pick<ImageManager, 'foresee' | 'get'>;
  /** The images of those that do not stand on them. */
  readonly copies: Pick<DiskCopies, 'assertReady' | 'taken' | 'discardLeft'>;
  readonly host: Pick<HypervisorHost, 'getInfo'>;
  readonly keys: Pick<VmDiskKeys, 'find'>;
  /** Where new disks are made. */
  readonly folder: string;
  /** Whether there are other nodes that a VM may move to. */
  readonly hasPeers: () => boolean;
}

/** Makes disks larger that a VM which runs has open. */
export interface DiskResizer {
  /** Whether it has the disk with this path open. */
  hasOpen(path: string): boolean;
  resize(path: string, bytes: number, signal: AbortSignal): Promise<void>;
}

/** Makes the disks that VMs ask for by their size, and removes them when somebody says so. Never by itself: what is on one is the VM's. */
export class VmDisks {
  readonly #options: VmDisksOptions;

  constructor(options: VmDisksOptions) {
    this.#options = options;
  }

  /**
   * The definition with all disks that it is to have; nothing is made. A disk that was made once stays the VM's, whether or not its spec
   * has it. Fails with INVALID_SPEC for a disk that is to be another one than was made, or smaller than its image, and as images are foreseen.
   * Unless that is enough, the images must be here: fails with STATE_NOT_READY if not.
   */
  async plan(
    definition: VmDefinition,
    how: PlanOptions,
    signal: AbortSignal,
  ): Promise<VmDefinition> {
    const { name, spec, madeDisks } = definition;
    const machine = spec.template.spec;
    const wanted = volumesOf(machine).filter(isMadeByAgent);
    const problems = wanted.flatMap((volume): readonly FieldViolation[] => {
      const made = madeDiskOf(madeDisks, volume.name);
      return made === undefined ? [] : [...otherwise(volume, made, machine)];
    });
    if (problems.length > 0) {
      throw new AgentError('INVALID_SPEC', `Cannot change VM ${name}: ${summarize(problems)}`, {
        violations: problems,
      });
    }
    const missing = wanted.filter((volume) => madeDiskOf(madeDisks, volume.name) === undefined);
    const planned = wanted.flatMap((volume) => resized(volume, madeDisks));
    if (missing.length === 0 && planned.length === 0) return definition;
    for (const volume of missing) {
      const disk = await this.#newDisk(definition, volume, how, signal);
      const { encryption } = volume;
      planned.push([volume.name, encryption === undefined ? disk : { ...disk, encryption }]);
    }
    return { ...definition, madeDisks: { ...madeDisks, ...Object.fromEntries(planned) } };
  }

  /**
   * The disks that a definition is to have into which images are to be copied first, by volume. Fails with STATE_NOT_READY, which
   * passes, where such an image is not here.
   */
  async listCopies(
    definition: VmDefinition,
    secrets: PlanOptions['secrets'],
    signal: AbortSignal,
  ): Promise<readonly (readonly [volume: string, disk: MadeDisk])[]> {
    const { spec, madeDisks } = definition;
    const isAny = volumesOf(spec.template.spec).some(
      (volume) => isCopiedFromImage(volume) && madeDiskOf(madeDisks, volume.name) === undefined,
    );
    // Nobody else need look at the images for that.
    if (!isAny) return [];
    const planned = await this.plan(definition, { foresees: false, secrets }, signal);
    const disks = newDisks(planned, definition);
    return disks.filter(([, disk]) => imageToCopy(disk) !== undefined);
  }

  /** What is not as one may think of the disks that a definition is to have, in sentences. Fails with IMAGE_UNREACHABLE. */
  async notes(
    next: VmDefinition,
    before: VmDefinition | undefined,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const paths =
      before === undefined ? [] : Object.values(next.madeDisks).map(({ path: file }) => file);
    const gone = new Set(await this.#options.images.listMissing(paths, signal));
    return [
      ...changeNotes(next, before, gone),
      ...(await this.#localityNotes(next, before, signal)),
      ...(await this.#roomNotes(next, before, signal)),
    ];
  }

  /**
   * Makes those disks that the definition from before does not have. Gives back those that were not there, for whoever takes this back,
   * and what there is to be said. Fails as `DiskFiles.make` does; then none is made.
   */
  async make(
    next: VmDefinition,
    before: VmDefinition | undefined,
    signal: AbortSignal,
  ): Promise<{ readonly made: readonly MadeDisk[]; readonly warnings: readonly string[] }> {
    const { files, host } = this.#options;
    const missing = newDisks(next, before);
    if (missing.length === 0) return { made: [], warnings: [] };
    const { processOwner: owner } = await host.getInfo(signal);
    const made: MadeDisk[] = [];
    const warnings: string[] = [];
    await using undo = new AsyncDisposableStack();
    undo.defer(() => this.removeAll(made));
    for (const [name, disk] of missing) {
      const key = await this.#options.keys.find(next, name, signal);
      if ((await this.#makeOne({ ...disk, owner, key }, signal)) === 'made') {
        made.push(disk);
      } else if (!(await files.isUnused(disk, signal))) {
        warnings.push(
          `Volume ${name} has the disk ${disk.path}, which was there with what is on it`,
        );
      }
    }
    undo.move();
    return { made, warnings };
  }

  /**
   * Makes those disks larger that are to be, of a VM that is off as files, and of one that runs where it has them open. Done before it is
   * defined: a disk that is larger than is known loses nothing. Fails with STORAGE_FULL, IMAGE_IN_USE and as `HypervisorDevices.resizeDisk`.
   */
  async resize(
    next: VmDefinition,
    before: VmDefinition,
    running: DiskResizer,
    signal: AbortSignal,
  ): Promise<void> {
    for (const [name, disk] of Object.entries(next.madeDisks)) {
      const made = madeDiskOf(before.madeDisks, name);
      if (made === undefined || made.bytes >= disk.bytes) continue;
      if (running.hasOpen(disk.path)) await running.resize(disk.path, disk.bytes, signal);
      else {
        const key = await this.#options.keys.find(next, name, signal);
        await this.#options.files.resize({ ...disk, key }, signal);
      }
    }
  }

  /** One that is given up may have been made all the same, which nobody else would know. */
  async #makeOne({ owner, key, ...disk }: NewDisk, signal: AbortSignal): Promise<'made' | 'there'> {
    const { files, copies } = this.#options;
    const isCopy = imageToCopy(disk) !== undefined;
    if (isCopy) copies.assertReady(disk);
    try {
      const outcome = await files.make({ ...disk, owner, key }, signal);
      if (isCopy) copies.taken(disk.path);
      return outcome;
    } catch (error) {
      const undo = AbortSignal.timeout(UNDO_TIMEOUT_MS);
      // It has gone, whoever has removed it.
      if (isCopy && hasReason(error, 'STATE_NOT_READY')) copies.taken(disk.path);
      if (!(error instanceof AgentError)) {
        await this.#removeIfUnused(disk, undo).catch(() => undefined);
      }
      throw error;
    }
  }

  /** Takes back what was just made, as far as that can be done. */
  async removeAll(disks: readonly MadeDisk[]): Promise<void> {
    const signal = AbortSignal.timeout(UNDO_TIMEOUT_MS);
    for (const { path: file } of disks) {
      await this.#options.files.remove(file, signal).catch(() => undefined);
    }
  }

  /**
   * Removes those disks of a VM that is gone, or is about to be, to which its guest has never written. Where other nodes may have the
   * same folder they stay: they may be those of the VM where it is made again.
   */
  async removeUnused({ uid, madeDisks }: VmDefinition, signal: AbortSignal): Promise<void> {
    for (const disk of own(uid, madeDisks)) await this.#removeIfUnused(disk, signal);
  }

  async #removeIfUnused(disk: MadeDisk, signal: AbortSignal): Promise<void> {
    const { files } = this.#options;
    if (!(await files.isLocal(path.dirname(disk.path), signal))) return;
    if (await files.isUnused(disk, signal)) await files.remove(disk.path, signal);
  }

  /** Removes what a creation has left that has come to nothing before there was a VM. */
  async removeUnusedOf(vmUid: string, signal: AbortSignal): Promise<void> {
    for (const file of await this.#list(signal)) {
      if (vmUidOf(file) !== vmUid || isHalfMade(file)) continue;
      const format = file.endsWith('.raw') ? 'raw' : 'qcow2';
      await this.#removeIfUnused({ path: file, format, bytes: 0 }, signal);
    }
  }

  /** Removes the disks of a VM that is off, with what is on them. Fails with IMAGE_IN_USE, before anything is removed, if somebody has one open. */
  async remove({ uid, name, madeDisks }: VmDefinition, signal: AbortSignal): Promise<void> {
    const { files, images } = this.#options;
    const disks = own(uid, madeDisks);
    for (const { path: file, format } of disks) {
      const query = {
        path: file,
        kind: 'file',
        format,
        isReadOnly: false,
        encryption: 'any',
        user: undefined,
      } as const;
      const image = await images.find(query, signal);
      if (image?.problem !== undefined) {
        throw new AgentError(
          image.problem.reason,
          `Cannot delete the disks of VM ${name}: whether ${file} is in use cannot be told, as it cannot be used: ${image.problem.text}; or delete the VM without its disks`,
          { metadata: { vmId: uid } },
        );
      }
      const holder = image?.holders[0];
      if (holder === undefined) continue;
      throw new AgentError(
        'IMAGE_IN_USE',
        `Cannot delete the disks of VM ${name}: ${file} is open in ${holder.vmName || holder.program} (pid ${holder.pid ?? 'unknown'}); end that, or delete the VM without its disks`,
        { metadata: { vmId: uid } },
      );
    }
    for (const { path: file } of disks) await files.remove(file, signal);
  }

  /** Removes files of a VM which a killed agent has left, whether it is here or not: those that are not whole. Disks are somebody's data. */
  async removeLeft(vmUid: string, signal: AbortSignal): Promise<void> {
    for (const file of await this.#list(signal)) {
      if (vmUidOf(file) !== vmUid || !isHalfMade(file)) continue;
      await this.#options.copies.discardLeft(diskHalfMadeIn(file), signal);
    }
  }

  /** The uids of VMs, here or not, of which the folder has files that are not whole, unless other nodes may have the same folder. */
  async listOwners(signal: AbortSignal): Promise<readonly string[]> {
    const left = (await this.#list(signal)).filter(isHalfMade);
    return [...new Set(left.map(vmUidOf).filter((uid) => uid !== undefined))];
  }

  async #list(signal: AbortSignal): Promise<readonly string[]> {
    const { files, folder } = this.#options;
    if (!(await files.isLocal(folder, signal))) return [];
    return await files.list(folder, signal);
  }

  async #newDisk(
    { uid, name, spec }: VmDefinition,
    volume: Volume,
    how: PlanOptions,
    signal: AbortSignal,
  ): Promise<MadeDisk> {
    const format = formatOf(volume);
    const file = path.join(this.#options.folder, `${uid}-${volume.name}.${format}`);
    const { size, source } = volume;
    const image = source?.image;
    if (image === undefined) return { path: file, format, bytes: diskBytesOf(size ?? '') };
    const { sources } = this.#options;
    const query = { ...how, image, field: imageFieldOf(spec.template.spec, volume.name) };
    const { stored, virtualBytes } = await findDiskImage(sources, query, signal);
    const least = wholeSectors(virtualBytes ?? 0);
    const bytes = size === undefined ? least : diskBytesOf(size);
    if (bytes < least) {
      const field = `${MACHINE}.${sizeFieldOf(spec.template.spec, volume.name)}`;
      const needed = formatBytesQuantity(BigInt(least));
      const description = `is ${size}, and the image ${shownSource(image.source)} is a disk of ${needed}; ask for at least that, or leave the size out`;
      throw new AgentError('INVALID_SPEC', `Cannot make VM ${name}: ${field} ${description}`, {
        violations: [{ field, description }],
      });
    }
    if (stored === undefined) return { path: file, format, bytes };
    if (volume.encryption !== undefined && isCopiedFromImage(volume)) {
      assertCopiedAtOnce(stored, image, imageFieldOf(spec.template.spec, volume.name));
    }
    return {
      path: file,
      format,
      bytes,
      image: {
        source: image.source,
        digest: digestText(stored),
        path: stored.path,
        format: stored.format,
        bytes: stored.virtualBytes,
        ...(format === 'qcow2' && isCopiedFromImage(volume) && { isCopied: true }),
      },
    };
  }

  async #localityNotes(
    next: VmDefinition,
    before: VmDefinition | undefined,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const { files, folder, hasPeers } = this.#options;
    const names = newDisks(next, before).map(([name]) => name);
    // A node that is alone has nowhere to move it to.
    if (names.length === 0 || !hasPeers()) return [];
    return localityNotes(next, names, { folder, isLocal: await files.isLocal(folder, signal) });
  }

  async #roomNotes(
    next: VmDefinition,
    before: VmDefinition | undefined,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const { files, folder } = this.#options;
    const disks = newDisks(next, before).map(([, disk]) => disk);
    if (disks.length === 0) return [];
    const wanted = disks.reduce((sum, { bytes }) => sum + bytes, 0);
    const available = await files.availableBytes(folder, signal);
    return wanted <= available ? [] : [roomNote(wanted, available, folder)];
  }
}

const UNDO_TIMEOUT_MS = 15_000;

function own(uid: string, madeDisks: MadeDisks): readonly MadeDisk[] {
  return Object.values(madeDisks).filter((disk) => vmUidOf(disk.path) === uid);
}

/** Disks that a definition names and the one from before does not. */
function newDisks(next: VmDefinition, before: VmDefinition | undefined) {
  return Object.entries(next.madeDisks).filter(
    ([name]) => before === undefined || madeDiskOf(before.madeDisks, name) === undefined,
  );
}

/** The disk of a volume as it is to be; none where it is so already. */
function resized({ name, size }: Volume, madeDisks: MadeDisks): readonly [string, MadeDisk][] {
  const made = madeDiskOf(madeDisks, name);
  if (made === undefined || size === undefined || diskBytesOf(size) === made.bytes) return [];
  return [[name, { ...made, bytes: diskBytesOf(size) }]];
}

function* otherwise(volume: Volume, made: MadeDisk, machine: Machine): Generator<FieldViolation> {
  yield* otherKey(volume, made, machine);
  if (volume.size !== undefined && diskBytesOf(volume.size) < made.bytes) {
    const was = formatBytesQuantity(BigInt(made.bytes));
    const description = `is ${volume.size}, and the disk ${made.path} has ${was}: a disk is not made smaller, as what is at its end would be lost; leave it at ${was}, or add a smaller volume and copy what is needed`;
    yield { field: `${MACHINE}.${sizeFieldOf(machine, volume.name)}`, description };
  }
  if (volume.format !== undefined && volume.format !== made.format) {
    const description = `is ${volume.format}, and the disk ${made.path} was made as ${made.format}; leave the format out`;
    yield { field: `${MACHINE}.${volumeFieldOf(machine, volume.name)}.format`, description };
  }
  yield* cloneProblems(volume, made, machine);
}
