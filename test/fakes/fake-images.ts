import type {
  FileInfo,
  ImageInfo,
  ImageInspector,
  ImageProblem,
  ImageQuery,
  ImageSize,
} from '../../src/drivers/images.ts';

/** Images that are only said to be there. */
export class FakeImages implements ImageInspector {
  readonly #images = new Map<string, ImageInfo>();

  add(path: string, image: Partial<ImageInfo> = {}): void {
    const free = { fileId: path, behind: [], holders: [] };
    this.#images.set(path, { kind: 'file', format: 'raw', problem: undefined, ...free, ...image });
  }

  /** Whether somebody is said to have it open. */
  isOpen(path: string): boolean {
    return (this.#images.get(path)?.holders ?? []).length > 0;
  }

  remove(path: string): void {
    this.#images.delete(path);
  }

  async findBootFile(
    path: string,
    _user: unknown,
    signal: AbortSignal,
  ): Promise<FileInfo | undefined> {
    signal.throwIfAborted();
    const found = await Promise.resolve(this.#images.get(path));
    const notAFile: ImageProblem = { reason: 'IMAGE_INVALID', text: 'it is no plain file' };
    return found?.kind === 'file' ? found : found && { ...found, problem: notAFile };
  }

  async find(
    { path, format, tellsContent }: ImageQuery,
    signal: AbortSignal,
  ): Promise<ImageInfo | undefined> {
    signal.throwIfAborted();
    const found = await Promise.resolve(this.#images.get(path));
    if (found === undefined || format !== 'raw') return found;
    return { ...found, format, ...(tellsContent === true ? { content: found.format } : {}) };
  }

  /** A sparse file of 1 GiB, of which 64 KiB are there. */
  async measure(
    { path }: Pick<ImageQuery, 'path' | 'format'>,
    signal: AbortSignal,
  ): Promise<ImageSize | undefined> {
    signal.throwIfAborted();
    const found = await Promise.resolve(this.#images.get(path));
    const sizes = { virtualBytes: 2 ** 30, allocatedBytes: 2 ** 16 };
    return found?.kind === 'file' && found.problem === undefined ? sizes : undefined;
  }

  async listMissing(paths: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    return await Promise.resolve(paths.filter((path) => !this.#images.has(path)));
  }
}
