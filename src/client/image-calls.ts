import {
  type Image,
  ImageServiceService,
  type PullImageRequest,
  type PullImageResponse,
} from '../gen/novacron/agent/v1/image.ts';
import type { CallOptions, Connection } from './connection.ts';

/** The calls of ImageService. */
export class ImageCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async list(options: CallOptions): Promise<readonly Image[]> {
    const { images } = await this.#connection.unary(ImageServiceService.listImages, {}, options);
    return images;
  }

  /** To be asked again until it has an image. */
  pull(request: PullImageRequest, options: CallOptions): Promise<PullImageResponse> {
    return this.#connection.unary(ImageServiceService.pullImage, request, options);
  }

  async remove(digest: string, options: CallOptions): Promise<void> {
    await this.#connection.unary(ImageServiceService.removeImage, { digest }, options);
  }

  /** What is wrong with it; undefined if it is whole. */
  async verify(digest: string, options: CallOptions): Promise<string | undefined> {
    const request = { digest };
    const { problem } = await this.#connection.unary(
      ImageServiceService.verifyImage,
      request,
      options,
    );
    return problem || undefined;
  }
}
