import type { ImageService, ImageWant, WantedImage } from '../../src/agent/images/image.ts';
import type { ImageVerdict, StoredImage } from '../../src/drivers/image-store.ts';

/** Answers with what it is told to, and remembers what was asked. */
export class FakeImageService implements ImageService {
  images: readonly StoredImage[] = [];
  wanted: WantedImage = { kind: 'coming', progress: { step: 'waiting', bytes: 0, totalBytes: 0 } };
  verdict: ImageVerdict = { isWhole: true };
  readonly asked: { readonly want: ImageWant; readonly holder: string }[] = [];
  readonly removed: string[] = [];
  readonly dropped: string[] = [];

  async list(): Promise<readonly StoredImage[]> {
    return await Promise.resolve(this.images);
  }

  async want(want: ImageWant, holder: string): Promise<WantedImage> {
    this.asked.push({ want, holder });
    return await Promise.resolve(this.wanted);
  }

  drop(holder: string): void {
    this.dropped.push(holder);
  }

  async remove(digest: string): Promise<void> {
    await Promise.resolve(this.removed.push(digest));
  }

  async verify(): Promise<ImageVerdict> {
    return await Promise.resolve(this.verdict);
  }
}
