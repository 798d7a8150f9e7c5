import path from 'node:path';
import { AgentError } from '../../src/core/errors.ts';
import type {
  AdmitRequest,
  ImageNote,
  ImageOrigin,
  ImagePart,
  ImageStore,
  ImageVerdict,
  StoredImage,
} from '../../src/drivers/image-store.ts';
import { foreseeContent } from '../../src/drivers/images/foreseen-content.ts';
import { kindOf, refusalOf, sizeProblem } from '../../src/drivers/images/image-kinds.ts';
import type { FakeDiskFiles } from './fake-disk-files.ts';
import type { FakeImages } from './fake-images.ts';

type Kept = Omit<StoredImage, 'usedBy'>;

/** Images that are only said to be kept, with what was fetched in memory. */
export class FakeImageStore implements ImageStore {
  readonly foresee = foreseeContent;
  /** What was fetched, by its path below what `prepare` answers. */
  readonly incoming = new Map<string, Buffer>();
  /** Paths of images of which a byte was changed. */
  readonly damaged = new Set<string>();
  readonly #base: string;
  readonly #files: FakeImages;
  readonly #disks: FakeDiskFiles;
  readonly #images = new Map<string, Kept>();

  /** With the images and the disks of a fake node. */
  constructor(files: FakeImages, disks: FakeDiskFiles, folder = '/srv/disks') {
    this.#files = files;
    this.#disks = disks;
    this.#base = `${folder}/base`;
  }

  /** What is kept, and what was fetched. */
  get paths(): readonly string[] {
    return [...[...this.#images.values()].map(({ path }) => path), ...this.incoming.keys()];
  }

  async prepare(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    return await Promise.resolve(`${this.#base}/incoming`);
  }

  async admit(request: AdmitRequest, signal: AbortSignal): Promise<StoredImage> {
    signal.throwIfAborted();
    const { digest, path, origin } = request;
    const content = await Promise.resolve(this.incoming.get(path) ?? Buffer.alloc(0));
    this.incoming.delete(path);
    const fresh = this.#keep(request, content);
    const known = this.#images.get(digest) ?? fresh;
    const image = { ...known, origins: withOrigin(known.origins, origin) };
    this.#images.set(digest, image);
    this.#files.add(image.path, { format: image.format });
    return this.#describe(image);
  }

  async list(signal: AbortSignal): Promise<readonly StoredImage[]> {
    signal.throwIfAborted();
    const images = [...this.#images.values()].map((image) => this.#describe(image));
    return await Promise.resolve(images.toSorted((a, b) => (a.digest < b.digest ? -1 : 1)));
  }

  async note(digest: string, note: ImageNote, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const known = await Promise.resolve(this.#images.get(digest));
    if (known === undefined) return;
    const changed =
      'origin' in note
        ? { origins: withOrigin(known.origins, note.origin) }
        : { lastUsedAtMs: Math.max(known.lastUsedAtMs, note.usedAtMs) };
    this.#images.set(digest, { ...known, ...changed });
  }

  async remove(digest: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const known = await Promise.resolve(this.#images.get(digest));
    const usedBy = known === undefined ? [] : this.#describe(known).usedBy;
    if (usedBy.length > 0) {
      const message = `Cannot remove the image ${digest}: ${usedBy.join(', ')} stands on it`;
      throw new AgentError('IMAGE_IN_USE', message);
    }
    this.#images.delete(digest);
    if (known !== undefined) this.#files.remove(known.path);
  }

  async verify(digest: string, signal: AbortSignal): Promise<ImageVerdict> {
    signal.throwIfAborted();
    const known = await Promise.resolve(this.#images.get(digest));
    if (known === undefined) {
      throw new AgentError('IMAGE_NOT_FOUND', `Cannot verify the image ${digest}: there is none`);
    }
    if (!this.damaged.has(known.path)) return { isWhole: true };
    return { isWhole: false, problem: 'is not what it was when it was kept' };
  }

  async listParts(names: readonly string[], signal: AbortSignal): Promise<readonly ImagePart[]> {
    signal.throwIfAborted();
    const parts = names.map((name) => {
      const files = this.#filesOf(name).map((file) => this.incoming.get(file)?.length ?? 0);
      return { name, diskBytes: files.reduce((sum, bytes) => sum + bytes, 0) };
    });
    return await Promise.resolve(parts.filter(({ diskBytes }) => diskBytes > 0));
  }

  async discardPart(name: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await Promise.resolve();
    for (const file of this.#filesOf(name)) this.incoming.delete(file);
  }

  #filesOf(name: string): readonly string[] {
    const isOf = (file: string) => path.basename(file).split('.')[0] === name;
    return [...this.incoming.keys()].filter(isOf);
  }

  async tidy(wanted: readonly string[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await Promise.resolve();
    for (const path of this.incoming.keys()) if (!wanted.includes(path)) this.incoming.delete(path);
  }

  #keep(request: AdmitRequest, content: Buffer): Kept {
    const { digest, origin, maxBytes } = request;
    const kind = kindOf(content);
    const problem = refusalOf(kind, request) ?? sizeProblem(content.length, maxBytes);
    if (problem !== undefined) {
      throw new AgentError('IMAGE_INVALID', `Cannot use the image ${origin.url}: it ${problem}`);
    }
    const format = request.format === 'raw' || kind.format === 'raw' ? 'raw' : 'qcow2';
    return {
      digest,
      format,
      path: `${this.#base}/${digest}.${format}`,
      virtualBytes: kind.virtualBytes ?? Math.ceil(content.length / 512) * 512,
      contentBytes: content.length,
      diskBytes: content.length,
      origins: [],
      lastUsedAtMs: origin.fetchedAtMs,
    };
  }

  #describe(image: Kept): StoredImage {
    return { ...image, usedBy: this.#disks.standingOn(image.path) };
  }
}

function withOrigin(known: readonly ImageOrigin[], origin: ImageOrigin): readonly ImageOrigin[] {
  const at = known.findIndex(({ url }) => url === origin.url);
  return at < 0 ? [...known, origin] : known.with(at, origin);
}
