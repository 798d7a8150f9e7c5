import { newProbeMark } from '../../src/core/probe-mark.ts';
import type {
  BlockFacts,
  DiskProbe,
  FileFacts,
  ImageSighting,
  MarkedImage,
  MarkedImages,
  MarkedPlace,
  OpenPlace,
  UnknownImage,
} from '../../src/drivers/disk-probe.ts';
import type { HypervisorDisk } from '../../src/drivers/hypervisor-domains.ts';

/** What a node has under a path. */
export interface FakeImage {
  /** Where it really is: what is equal of two images but this is equal by chance. */
  readonly storage: string;
  /** `unknown` cannot be looked at. */
  readonly facts: FileFacts | BlockFacts | UnknownImage;
  /** Nodes on which nobody can make a file beside it. */
  readonly readOnlyOn?: readonly string[];
  /** Nodes whose VMs may not have it. */
  readonly refusedOn?: readonly string[];
  /** Number of the device that it is on, by which nothing may be decided. */
  readonly device: number;
}

/** The storage of several nodes, and what is done to it. */
export class FakeStorage {
  /** Marks that are there now, and the node that has made each. */
  readonly marks = new Map<string, string>();
  /** Two nodes that wrote to one image at the same time. */
  readonly violations: string[] = [];
  /** `node:path` of what the VMs that have it open there have opened as another file. */
  readonly replaced = new Set<string>();
  readonly #images = new Map<string, FakeImage>();
  readonly #writers = new Map<string, string>();

  /** Puts an image under a path of some nodes. */
  put(nodes: readonly string[], path: string, image: Partial<FakeImage> = {}): void {
    const name = path.split('/').at(-1) ?? '';
    const facts = {
      kind: 'file',
      name,
      format: 'raw',
      sizeBytes: 2 ** 20,
      fileId: '6969:7',
    } as const;
    for (const node of nodes) {
      this.#images.set(`${node}:${path}`, { storage: 'nfs', facts, device: 42, ...image });
    }
  }

  remove(node: string, path: string): void {
    this.#images.delete(`${node}:${path}`);
  }

  find(node: string, path: string): FakeImage | undefined {
    return this.#images.get(`${node}:${path}`);
  }

  probeOf(node: string): DiskProbe {
    return new FakeDiskProbe(this, node);
  }

  writersOf(node: string): FakeWriters {
    return new FakeWriters(this, node);
  }

  /** What the end of an agent does: the process that keeps its marks ends too. */
  dropMarksOf(node: string): void {
    for (const [mark, by] of this.marks) if (by === node) this.marks.delete(mark);
  }

  /** False if another node writes to it, which QEMU's locks tell of files, and of block devices nobody. */
  write(node: string, path: string, uid: string): boolean {
    const image = this.find(node, path);
    const key = `${image?.storage ?? node}:${path}`;
    const writer = `${uid} on node ${node}`;
    const other = this.#writers.get(key);
    if (other !== undefined && other !== writer) {
      if (image?.facts.kind !== 'block') return false;
      this.violations.push(`${other} and ${writer} write to ${path}`);
    }
    this.#writers.set(key, writer);
    return true;
  }

  /** Lets go of all that a VM of a node writes to. */
  letGo(node: string, uid: string): void {
    for (const [key, writer] of this.#writers) {
      if (writer === `${uid} on node ${node}`) this.#writers.delete(key);
    }
  }
}

/** What the VMs of one node have open for writing. */
export class FakeWriters {
  readonly #storage: FakeStorage;
  readonly #node: string;

  constructor(storage: FakeStorage, node: string) {
    this.#storage = storage;
    this.#node = node;
  }

  /** Opens what a VM writes to; false, with nothing opened, if that is not to be had. */
  open(uid: string, disks: readonly HypervisorDisk[]): boolean {
    const paths = disks.flatMap(({ readOnly, images: [image] }) =>
      readOnly || image === undefined ? [] : [image.path],
    );
    if (paths.every((path) => this.#storage.write(this.#node, path, uid))) return true;
    this.close(uid);
    return false;
  }

  close(uid: string): void {
    this.#storage.letGo(this.#node, uid);
  }
}

const OUTSIDE = 'it is outside the folders of this node for images';

class FakeDiskProbe implements DiskProbe {
  readonly #storage: FakeStorage;
  readonly #node: string;

  constructor(storage: FakeStorage, node: string) {
    this.#storage = storage;
    this.#node = node;
  }

  async mark(images: readonly OpenPlace[], signal: AbortSignal): Promise<MarkedImages> {
    signal.throwIfAborted();
    const { marks } = this.#storage;
    const made: string[] = [];
    const found = images.map((place): MarkedImage => {
      const image = this.#storage.find(this.#node, place.path);
      if (image?.refusedOn?.includes(this.#node) === true)
        return { kind: 'unknown', problem: OUTSIDE };
      const isHeld = place.vmUid !== undefined;
      if (isHeld && this.#storage.replaced.has(`${this.#node}:${place.path}`)) {
        return { kind: 'replaced' };
      }
      if (image === undefined) return { kind: 'unknown', problem: 'it does not exist' };
      if (image.facts.kind !== 'file') return image.facts;
      if (image.readOnlyOn?.includes(this.#node) === true) {
        return { kind: 'unknown', problem: 'no file can be made beside it (EROFS)' };
      }
      const mark = newProbeMark();
      made.push(`${image.storage}/${mark}`);
      marks.set(`${image.storage}/${mark}`, this.#node);
      return { ...image.facts, mark };
    });
    return {
      images: found,
      [Symbol.asyncDispose]: async () => {
        for (const mark of made) marks.delete(mark);
      },
    };
  }

  async look(
    images: readonly MarkedPlace[],
    signal: AbortSignal,
  ): Promise<readonly ImageSighting[]> {
    signal.throwIfAborted();
    return images.map((place): ImageSighting => {
      const image = this.#storage.find(this.#node, place.path);
      if (image?.refusedOn?.includes(this.#node) === true)
        return { kind: 'refused', problem: OUTSIDE };
      if (image === undefined) return { kind: 'missing' };
      if (image.facts.kind !== 'file') return image.facts;
      return this.#storage.marks.has(`${image.storage}/${place.mark}`)
        ? image.facts
        : { kind: 'other' };
    });
  }
}
