import { lstat, readdir, rename, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../../core/errors.ts';
import { codeOf } from '../../core/file-words.ts';
import { isLocalFileSystem } from '../../core/local-file-system.ts';
import { syncFolder } from '../../core/sync-folder.ts';
import type {
  AdmitRequest,
  ImageNote,
  ImageOrigin,
  ImagePart,
  ImageStore,
  ImageVerdict,
  StoredImage,
} from '../image-store.ts';
import { ConfinedQemuImg, type ConfinedQemuImgOptions } from './confined-qemu-img.ts';
import { foreseeContent } from './foreseen-content.ts';
import { convertedFile, ImageAdmission } from './image-admission.ts';
import {
  digestOf,
  giveTo,
  type ImageFolders,
  makeImageFolders,
  refuseIfUsed,
  removeUnused,
  restoreUsed,
} from './image-files.ts';
import { imageFolderOf } from './image-folder.ts';
import {
  findSidecar,
  type ImageSidecar,
  isImageDigest,
  sidecarFile,
  writeSidecar,
} from './image-sidecar.ts';
import { findImageUsers } from './image-users.ts';
import { storageError } from './storage-errors.ts';

export interface LocalImageStoreOptions extends ConfinedQemuImgOptions {
  /** Where the disks are that stand on images. */
  readonly folder: string;
}

const FORMATS = ['qcow2', 'raw'] as const;
/** What other nodes work on is left alone for so long. */
const ABANDONED_MS = 24 * 60 * 60 * 1000;

/**
 * Keeps images in `base` below the folder of the disks: `DIGEST.qcow2` or `DIGEST.raw` with `DIGEST.json` beside it, and what is
 * fetched or converted in `base/incoming`. An image is there once both are; the sidecar comes first. Storage that hangs keeps it
 * for ever.
 */
export class LocalImageStore implements ImageStore {
  readonly foresee = foreseeContent;
  readonly #folders: ImageFolders;
  readonly #base: string;
  readonly #incoming: string;
  readonly #admission: ImageAdmission;

  constructor({ folder, ...options }: LocalImageStoreOptions) {
    this.#base = imageFolderOf(folder);
    this.#incoming = path.join(this.#base, 'incoming');
    this.#folders = { disks: folder, base: this.#base, incoming: this.#incoming };
    this.#admission = new ImageAdmission(new ConfinedQemuImg(options));
  }

  async prepare(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    try {
      await makeImageFolders(this.#folders);
      return this.#incoming;
    } catch (error) {
      throw storageError('make', this.#incoming, error);
    }
  }

  async admit(request: AdmitRequest, signal: AbortSignal): Promise<StoredImage> {
    signal.throwIfAborted();
    if (!isImageDigest(request.digest) || path.dirname(request.path) !== this.#incoming) {
      throw new Error(`No fetched file: ${request.path}, ${request.digest}`);
    }
    // Which is elsewhere once it is kept.
    await using undo = new AsyncDisposableStack();
    undo.defer(() => this.discard(request.path));
    try {
      await this.#admission.refuseAtSight(request);
      const known = await this.#findWhole(request.digest);
      const sidecar = known
        ? { ...known, origins: withOrigin(known.origins, request.origin) }
        : await this.#keep(request, signal);
      if (known) await writeSidecar(this.#base, sidecar);
      return await this.#describe(sidecar, await findImageUsers(this.#folders.disks));
    } catch (error) {
      signal.throwIfAborted();
      throw storageError('keep the image', request.path, error);
    }
  }

  async list(signal: AbortSignal): Promise<readonly StoredImage[]> {
    signal.throwIfAborted();
    try {
      const names = await readdir(this.#base);
      const users = await findImageUsers(this.#folders.disks);
      const images: StoredImage[] = [];
      for (const name of names.filter((each) => each.endsWith('.json')).toSorted()) {
        signal.throwIfAborted();
        const sidecar = await this.#find(name.slice(0, -'.json'.length));
        if (sidecar !== undefined) images.push(await this.#describe(sidecar, users));
      }
      return images;
    } catch (error) {
      signal.throwIfAborted();
      if (codeOf(error) === 'ENOENT') return [];
      throw storageError('list the images in', this.#base, error);
    }
  }

  async note(digest: string, note: ImageNote, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    try {
      const known = await this.#find(digest);
      if (known === undefined) return;
      const changed =
        'origin' in note
          ? { origins: withOrigin(known.origins, note.origin) }
          : { lastUsedAtMs: Math.max(known.lastUsedAtMs, note.usedAtMs) };
      await writeSidecar(this.#base, { ...known, ...changed });
    } catch (error) {
      throw storageError('note the use of the image', sidecarFile(this.#base, digest), error);
    }
  }

  async remove(digest: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    try {
      await refuseIfUsed(digest, this.#folders.disks);
      for (const format of FORMATS) {
        await removeUnused(this.#fileOf(digest, format), digest, this.#folders);
      }
      await rm(sidecarFile(this.#base, digest), { force: true });
      await syncFolder(this.#base);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw storageError('remove the image', digest, error);
    }
  }

  async verify(digest: string, signal: AbortSignal): Promise<ImageVerdict> {
    signal.throwIfAborted();
    const known = await this.#find(digest);
    if (known === undefined) {
      throw new AgentError('IMAGE_NOT_FOUND', `Cannot verify the image ${digest}: there is none`);
    }
    const file = this.#fileOf(digest, known.format);
    try {
      const { size } = await lstat(file);
      if (size !== known.fileBytes) {
        const problem = `has ${size} bytes, and had ${known.fileBytes} when it was kept; ${AGAIN}`;
        return { isWhole: false, problem };
      }
      const found = await digestOf(file, signal);
      if (found === known.fileDigest) return { isWhole: true };
      const problem = `is not what it was when it was kept: its SHA-256 is ${found}, and was ${known.fileDigest}; ${AGAIN}`;
      return { isWhole: false, problem };
    } catch (error) {
      signal.throwIfAborted();
      throw storageError('read', file, error);
    }
  }

  async listParts(names: readonly string[], signal: AbortSignal): Promise<readonly ImagePart[]> {
    signal.throwIfAborted();
    try {
      const found: ImagePart[] = [];
      for (const name of names) {
        let diskBytes = 0;
        for (const file of await this.#filesOf(name)) diskBytes += await diskBytesOf(file);
        if (diskBytes > 0) found.push({ name, diskBytes });
      }
      return found;
    } catch (error) {
      throw storageError('list what is in', this.#incoming, error);
    }
  }

  async discardPart(name: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    try {
      for (const file of await this.#filesOf(name)) await rm(file, { force: true });
    } catch (error) {
      throw storageError('remove', path.join(this.#incoming, name), error);
    }
  }

  /** What is beside a file that is being fetched has its name and an ending. */
  async #filesOf(name: string): Promise<readonly string[]> {
    const entries = await readdir(this.#incoming, { withFileTypes: true }).catch(() => []);
    return entries
      .filter((entry) => entry.isFile() && entry.name.split('.')[0] === name)
      .map((entry) => path.join(this.#incoming, entry.name));
  }

  async tidy(wanted: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    try {
      const before = isLocalFileSystem((await statfs(this.#base)).type)
        ? Number.POSITIVE_INFINITY
        : Date.now() - ABANDONED_MS;
      await restoreUsed(this.#folders);
      const isOver = async (file: string): Promise<boolean> =>
        ((await lstat(file).catch(() => undefined))?.mtimeMs ?? before) < before;
      const entries = await readdir(this.#incoming, { withFileTypes: true }).catch(() => []);
      // A folder in it is somebody else's.
      const incoming = entries
        .filter((entry) => !entry.isDirectory())
        .map(({ name }) => path.join(this.#incoming, name));
      for (const file of incoming) {
        if (wanted.includes(file) || !(await isOver(file))) continue;
        await rm(file, { force: true });
      }
      await this.#tidyBase(isOver);
      await syncFolder(this.#base);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw storageError('tidy', this.#base, error);
    }
  }

  /** Removes a fetched file, and what it was being converted to. */
  async discard(fetched: string): Promise<void> {
    await rm(fetched, { force: true });
    await rm(convertedFile(fetched), { force: true });
  }

  /** An image without a sidecar, or one without an image, is of no use; but what disks stand on stays, whatever is known of it. */
  async #tidyBase(isOver: (file: string) => Promise<boolean>): Promise<void> {
    const users = await findImageUsers(this.#folders.disks);
    const entries = await readdir(this.#base, { withFileTypes: true });
    for (const { name } of entries.filter((entry) => entry.isFile())) {
      const digest = name.slice(0, 64);
      const file = path.join(this.#base, name);
      const known = await this.#find(digest);
      const isHalf = name.endsWith('.new');
      const isWanted = !isHalf && (known !== undefined || users.has(digest));
      if (isWanted || !isImageDigest(digest) || !(await isOver(file))) continue;
      await rm(file, { force: true });
    }
  }

  async #keep(request: AdmitRequest, signal: AbortSignal): Promise<ImageSidecar> {
    const { digest, origin, owner } = request;
    const { size: contentBytes } = await lstat(request.path);
    const { path: whole, format, virtualBytes } = await this.#admission.admit(request, signal);
    const { size: fileBytes } = await lstat(whole);
    const fileDigest = whole === request.path ? digest : await digestOf(whole, signal);
    await giveTo(whole, owner);
    const sidecar: ImageSidecar = {
      digest,
      format,
      virtualBytes,
      contentBytes,
      fileBytes,
      fileDigest,
      origins: withOrigin([], origin),
      lastUsedAtMs: origin.fetchedAtMs,
    };
    signal.throwIfAborted();
    // First, so that whoever sees the image knows what it is.
    await writeSidecar(this.#base, sidecar);
    await rename(whole, this.#fileOf(digest, format));
    await syncFolder(this.#base);
    return sidecar;
  }

  /** Undefined where the image or its sidecar is missing, or that is broken. */
  async #find(digest: string): Promise<ImageSidecar | undefined> {
    if (!isImageDigest(digest)) return undefined;
    const sidecar = await findSidecar(this.#base, digest);
    if (sidecar === undefined) return undefined;
    const found = await lstat(this.#fileOf(digest, sidecar.format)).catch(() => undefined);
    return found?.isFile() === true ? sidecar : undefined;
  }

  /** One that is damaged to be seen is replaced. */
  async #findWhole(digest: string): Promise<ImageSidecar | undefined> {
    const sidecar = await this.#find(digest);
    if (sidecar === undefined) return undefined;
    const { size } = await lstat(this.#fileOf(digest, sidecar.format));
    return size === sidecar.fileBytes ? sidecar : undefined;
  }

  async #describe(
    { fileBytes: _bytes, fileDigest: _digest, ...sidecar }: ImageSidecar,
    users: ReadonlyMap<string, readonly string[]>,
  ): Promise<StoredImage> {
    const file = this.#fileOf(sidecar.digest, sidecar.format);
    const { blocks } = await lstat(file);
    return {
      ...sidecar,
      path: file,
      diskBytes: blocks * 512,
      origins: sidecar.origins.map((origin) => ({ ...origin, version: origin.version })),
      usedBy: users.get(sidecar.digest) ?? [],
    };
  }

  #fileOf(digest: string, format: StoredImage['format']): string {
    return path.join(this.#base, `${digest}.${format}`);
  }
}

async function diskBytesOf(file: string): Promise<number> {
  const found = await lstat(file).catch(() => undefined);
  return (found?.blocks ?? 0) * 512;
}

const AGAIN =
  'look at the storage, and restore it from a copy, or remove it to have it fetched again';

/** In the place of what is known of that URL. */
function withOrigin(
  known: ImageSidecar['origins'],
  { version, ...origin }: ImageOrigin,
): ImageSidecar['origins'] {
  const added = { ...origin, ...(version === undefined ? {} : { version }) };
  const at = known.findIndex(({ url }) => url === origin.url);
  return at < 0 ? [...known, added] : known.with(at, added);
}
