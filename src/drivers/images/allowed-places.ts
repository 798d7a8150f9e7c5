import path from 'node:path';
import type { ImageProblem } from '../images.ts';
import { whereItLeads } from './where-it-leads.ts';

/** What the node's administrator lets VMs have. */
export interface PlaceSettings {
  /** Folders of disk images, and of kernels. */
  readonly folders: readonly string[];
  /** Further folders of kernels and initial RAM disks. */
  readonly bootFolders: readonly string[];
  /** Patterns of paths of block devices, such as `/dev/vg/*`. */
  readonly blockDevices: readonly string[];
  /** How the paths of files begin that are the agent's own, wherever they lie; a folder ends with a slash. */
  readonly ownFiles: readonly string[];
  /** Of images that disks stand on, which are never a disk themselves. */
  readonly imageFolder?: string;
}

type Use = 'disk' | 'boot';

/** Where a path leads to; nowhere; or why no VM may have what is there. */
export type Place =
  | { readonly real: string }
  | { readonly real: undefined; readonly problem: ImageProblem | undefined };

/**
 * Whoever may make VMs chooses the paths of their disks and kernels, and whoever writes an image those of the files behind it.
 * Without a limit each could read and write any file of the node, as what opens them is trusted by it.
 */
export class AllowedPlaces {
  readonly #settings: PlaceSettings;

  constructor(settings: PlaceSettings) {
    this.#settings = settings;
  }

  /** Says the same of a file that is not allowed and of one that is not there, so that nobody can find out by asking. */
  async findFile(file: string, use: Use): Promise<Place> {
    const folders = await this.#foldersFor(use);
    const { at, exists } = await whereItLeads(file);
    const problem =
      (await this.#problemOf(at, file, folders, use)) ?? (await this.#baseProblem(at, use));
    return exists && problem === undefined ? { real: at } : { real: undefined, problem };
  }

  /** What a guest wrote to one would be read by all that stand on it. */
  async #baseProblem(real: string, use: Use): Promise<ImageProblem | undefined> {
    const { imageFolder } = this.#settings;
    if (imageFolder === undefined || use !== 'disk') return undefined;
    if (!real.startsWith(await startOf(imageFolder))) return undefined;
    const text =
      'it is an image that disks stand on, and no disk itself; make one from it, with image';
    return { reason: 'IMAGE_NOT_ALLOWED', text };
  }

  /** A file behind an image, by its real path. */
  async findBackingProblem(real: string): Promise<ImageProblem | undefined> {
    const folders = await this.#foldersFor('disk');
    return await this.#problemOf(real, real, folders, 'disk');
  }

  /** By the name that it is given, which the patterns are about, or by that of what it leads to. */
  async findDevice(device: string): Promise<Place> {
    const { blockDevices } = this.#settings;
    const { at, exists } = await whereItLeads(device);
    const real = exists ? at : undefined;
    const names = [path.resolve(device), ...(real === undefined ? [] : [real])];
    const isAllowed = names.some((name) =>
      blockDevices.some((pattern) => path.posix.matchesGlob(name, pattern)),
    );
    if (isAllowed) return real === undefined ? { real, problem: undefined } : { real };
    const patterns = blockDevices.length === 0 ? 'there is none' : blockDevices.join(', ');
    const text = `no pattern of the agent's setting images.blockDevices allows it (${patterns}); add one, such as "/dev/VOLUME-GROUP/*", or choose another device`;
    return { real: undefined, problem: { reason: 'IMAGE_NOT_ALLOWED', text } };
  }

  async #problemOf(
    real: string,
    named: string,
    folders: readonly string[],
    use: Use,
  ): Promise<ImageProblem | undefined> {
    // Not found once and kept: a key is renewed by a link that leads elsewhere.
    const own = await Promise.all(this.#settings.ownFiles.map(startOf));
    if (own.some((start) => real.startsWith(start))) {
      const text = "it is one of the agent's own files; choose another";
      return { reason: 'IMAGE_NOT_ALLOWED', text };
    }
    if (folders.some((folder) => isInside(folder, real))) return undefined;
    const isLink = folders.some((folder) => isInside(folder, path.resolve(named)));
    return this.#outside(use, isLink ? `it leads to ${real}, ` : undefined);
  }

  #outside(use: Use, leads = 'it is '): ImageProblem {
    const { folders, bootFolders } = this.#settings;
    const all = use === 'boot' ? [...folders, ...bootFolders] : folders;
    const setting = use === 'boot' ? 'images.bootFolders' : 'images.folders';
    const what = use === 'boot' ? 'kernels' : 'images';
    const text = `${leads}outside the folders of this node for ${what} (${all.join(', ')}); put it into one of them, or add its folder to the agent's setting ${setting}`;
    return { reason: 'IMAGE_NOT_ALLOWED', text };
  }

  /** As they are named, and where they really are: a folder may itself be a link that the administrator has made. */
  async #foldersFor(use: Use): Promise<readonly string[]> {
    const { folders, bootFolders } = this.#settings;
    const all = use === 'boot' ? [...folders, ...bootFolders] : folders;
    const real = await Promise.all(all.map((folder) => whereItLeads(folder)));
    return [...all.map((folder) => path.resolve(folder)), ...real.map(({ at }) => at)];
  }
}

function isInside(folder: string, file: string): boolean {
  return file.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

/** How the real paths begin. */
async function startOf(own: string): Promise<string> {
  const { at } = await whereItLeads(own);
  return own.endsWith('/') ? `${at}/` : at;
}
