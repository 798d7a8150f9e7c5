import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { PlaceSettings } from '../../../src/drivers/images/allowed-places.ts';
import { QemuImgInspector } from '../../../src/drivers/images/qemu-img-inspector.ts';
import type { ImageQuery } from '../../../src/drivers/images.ts';

const never = new AbortController().signal;

/** A folder for images and a second one beside it, where no image may lead. */
export class Folder implements AsyncDisposable {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  static async make(): Promise<Folder> {
    const root = await mkdtemp(path.join(tmpdir(), 'novacron-images-'));
    await mkdir(path.join(root, 'own'));
    await mkdir(path.join(root, 'foreign'));
    return new Folder(root);
  }

  own(name: string): string {
    return path.join(this.root, 'own', name);
  }

  foreign(name: string): string {
    return path.join(this.root, 'foreign', name);
  }

  create(image: string, ...options: readonly string[]): string {
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, image, '1M']);
    return image;
  }

  async raw(image: string): Promise<string> {
    await writeFile(image, '');
    await truncate(image, 2 ** 20);
    return image;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.root, { recursive: true });
  }
}

export type Query = Partial<ImageQuery> & { readonly path: string };

export function inspectorFor(folder: Folder, places: Partial<PlaceSettings> = {}, more = {}) {
  const own = folder.own('');
  return new QemuImgInspector({
    places: { folders: [own], bootFolders: [], blockDevices: [], ownFiles: [], ...places },
    ...more,
  });
}

export function queryOf({ path: image, ...more }: Query): ImageQuery {
  return {
    path: image,
    kind: 'file',
    format: 'qcow2',
    isReadOnly: false,
    user: undefined,
    ...more,
  };
}

/** What speaks against an image of a node that has folders for images, its own and others. */
export async function problemOf(
  folder: Folder,
  query: string | Query,
  places: Partial<PlaceSettings> = {},
): Promise<string> {
  const inspector = inspectorFor(folder, places);
  const found = await inspector.find(
    queryOf(typeof query === 'string' ? { path: query } : query),
    never,
  );
  assert.ok(found, 'It is not there');
  const { problem } = found;
  return problem === undefined ? '' : `${problem.reason}: ${problem.text}`;
}
