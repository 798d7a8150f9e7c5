import assert from 'node:assert/strict';
import { CurlFetcher, type CurlFetcherOptions } from '../../../src/drivers/fetch/curl-fetcher.ts';
import type { FetchedContent, FetchRequest } from '../../../src/drivers/image-fetcher.ts';
import {
  type Answer,
  type Asked,
  MisbehavingServer,
} from '../../fixtures/images/misbehaving-server.ts';
import { DISK_TYPE, descriptorOf, manifestOf } from '../../fixtures/images/oci-content.ts';
import { OwnRegistry } from '../../fixtures/images/own-registry.ts';
import { FetchFolder, QUICK } from './fetch-fixture.ts';

const never = new AbortController().signal;

type Behaviour = (asked: Asked, registry: OwnRegistry, server: MisbehavingServer) => Answer;

/** A registry that has an image and behaves as it is told to, and a folder to fetch into. */
export class RegistryScene implements AsyncDisposable {
  readonly registry = new OwnRegistry();
  readonly server: MisbehavingServer;
  readonly folder: FetchFolder;

  private constructor(server: MisbehavingServer, folder: FetchFolder) {
    this.server = server;
    this.folder = folder;
  }

  static async make(layer: Buffer, type = DISK_TYPE, behave?: Behaviour): Promise<RegistryScene> {
    const server = await MisbehavingServer.start(() => ({ status: 500 }));
    const scene = new RegistryScene(server, await FetchFolder.make());
    scene.registry.addBlob(layer).addManifest(manifestOf(descriptorOf(layer, type)));
    server.behaviour = (asked) =>
      behave?.(asked, scene.registry, server) ?? scene.registry.answer(asked);
    return scene;
  }

  get host(): string {
    return `127.0.0.1:${this.server.port}`;
  }

  url(name = ''): string {
    return `oci://${this.host}/vms/disk${name}`;
  }

  get options(): Partial<CurlFetcherOptions> {
    return { insecureRegistries: [this.host] };
  }

  async fetch(changes: Partial<FetchRequest> = {}, name = ''): Promise<FetchedContent> {
    return await this.folder.fetch(this.url(name), changes, this.options);
  }

  /** Both by a look and by fetching it, which leaves nothing. */
  async assertRefused(
    refusal: { readonly reason: string; readonly message: RegExp },
    changes: Partial<FetchRequest> = {},
  ): Promise<void> {
    const fetcher = new CurlFetcher({ ...QUICK, ...this.options });
    await assert.rejects(fetcher.peek({ url: this.url(), ...changes }, never), refusal);
    await this.assertNotFetched(refusal, changes);
  }

  async assertNotFetched(
    refusal: { readonly reason: string; readonly message: RegExp },
    changes: Partial<FetchRequest> = {},
  ): Promise<void> {
    await assert.rejects(this.fetch(changes), refusal);
    await this.folder.assertEmpty();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}
