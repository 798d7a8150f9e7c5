import type { FileKind, ImageInfo, ImageInspector } from '../../src/drivers/images.ts';

/** Images that are only said to be there. */
export class FakeImages implements ImageInspector {
  readonly #images = new Map<string, ImageInfo>();

  add(path: string, image: Partial<ImageInfo> = {}): void {
    const defaults = { kind: 'file', format: 'raw', virtualSizeBytes: 2 ** 20 } as const;
    this.#images.set(path, { ...defaults, problem: undefined, ...image });
  }

  async findKind(path: string, signal: AbortSignal): Promise<FileKind | undefined> {
    return (await this.find(path, signal))?.kind;
  }

  async find(path: string, signal: AbortSignal): Promise<ImageInfo | undefined> {
    signal.throwIfAborted();
    return Promise.resolve(this.#images.get(path));
  }
}
