import { execFile } from 'node:child_process';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { IN, OUT } from '../../core/confined-place.ts';
import { AgentError } from '../../core/errors.ts';
import { shownSource } from '../../core/resources/image-source.ts';
import { wholeSectors } from '../../core/resources/volumes-of.ts';
import * as z from '../../core/zod.ts';
import type { AdmitRequest } from '../image-store.ts';
import type { ConfinedEnd, ConfinedQemuImg } from './confined-qemu-img.ts';
import {
  readVhdx,
  readVpc,
  VHDX_REGIONS_AT,
  VHDX_TABLE_BYTES,
  vhdxMetadataAt,
} from './foreign-headers.ts';
import { endsTooSoon } from './image-end.ts';
import {
  type ImageFormat,
  type ImageKind,
  KIND_BYTES,
  kindOf,
  refusalOf,
  sizeProblem,
  sizeText,
} from './image-kinds.ts';
import { readAt } from './read-at.ts';
import { shownName } from './shown-name.ts';
import { FULL, saysFull } from './storage-errors.ts';

/** What VMs can run from. */
export interface AdmittedFile {
  /** The fetched file, or what it was converted to, beside it. */
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
  readonly virtualBytes: number;
}

type Checked = Pick<AdmitRequest, 'path' | 'maxBytes'> & { readonly format: ImageFormat };

/** What a sector is to QEMU: a raw file that ends within one reads as if zeros filled it up. */
const SECTOR_BYTES = 512;
const ANEW = 'fetch it from elsewhere, or make it anew';

/** What `qemu-img check` ends with that has found no harm: nothing, room that is lost, or that it cannot check this format. */
const HARMLESS: readonly (number | undefined)[] = [0, 3, 63];

const infoSchema = z.object({
  'virtual-size': z.number(),
  'backing-filename': z.string().optional(),
  encrypted: z.boolean().optional(),
});

/** Where what `path` holds is converted to. */
export function convertedFile(path: string): string {
  return `${path}.converted`;
}

/** Looks at what was fetched, and makes it what VMs can run from. Nothing in it is trusted. */
export class ImageAdmission {
  readonly #qemuImg: ConfinedQemuImg;

  constructor(qemuImg: ConfinedQemuImg) {
    this.#qemuImg = qemuImg;
  }

  /** Fails with IMAGE_INVALID by what is seen at once, also of a content that is kept: what is refused is not to depend on that. */
  async refuseAtSight(request: AdmitRequest): Promise<void> {
    await refusing(request, () => this.#look(request));
  }

  /** Fails with IMAGE_INVALID and STORAGE_FULL. What was converted until then is removed. */
  async admit(request: AdmitRequest, signal: AbortSignal): Promise<AdmittedFile> {
    return await refusing(request, async () => {
      const { path, maxBytes } = request;
      const { format, bytes } = await this.#look(request);
      if (format === 'raw') {
        await digHoles(path, signal);
        return { path, format, virtualBytes: wholeSectors(bytes) };
      }
      const virtualBytes = await this.#check({ path, format, maxBytes }, signal);
      if (format === 'qcow2') return { path, format, virtualBytes };
      return await this.#convert({ path, format, maxBytes }, virtualBytes, signal);
    });
  }

  /** By its headers, which lead nowhere. */
  async #look({ path, format, maxBytes }: AdmitRequest): Promise<Looked> {
    await using handle = await open(path, 'r');
    const { size: bytes } = await handle.stat();
    if (bytes === 0) throw new Refusal('is empty; look where its URL leads to');
    if (bytes > maxBytes) {
      throw new Refusal(
        `takes ${sizeText(bytes)}, and at most ${sizeText(maxBytes)} are taken here; choose a smaller one`,
      );
    }
    const first = kindOf(await readAt(handle, 0, KIND_BYTES));
    const kind = first.format === 'vhdx' ? await vhdxKind(handle) : first;
    const problem = refusalOf(kind, { format, maxBytes });
    if (problem !== undefined) throw new Refusal(problem);
    if (format !== 'raw') return { format: kind.format ?? 'raw', bytes };
    // What tells a fixed VHD from a raw disk stands behind it.
    const end = await readAt(handle, Math.max(0, bytes - SECTOR_BYTES), SECTOR_BYTES);
    if (readVpc(end) !== undefined) {
      throw new Refusal(
        'is a fixed VHD image, and said to be raw; convert it first, with: qemu-img convert -f vpc -O qcow2 FILE NEW-FILE',
      );
    }
    return { format, bytes };
  }

  /** By qemu-img. Answers its size as a guest sees it. */
  async #check({ path, format, maxBytes }: Checked, signal: AbortSignal): Promise<number> {
    const info = ['info', '--output=json', '-U', '-f', format, IN];
    const told = await this.#qemuImg.run({ source: path, arguments: info }, signal);
    if (told.status !== 0) throw broken(format, told);
    const found = infoSchema.parse(JSON.parse(told.output));
    const behind = found['backing-filename'];
    // Not what its header says, but qemu-img has found it.
    if (behind !== undefined) {
      throw new Refusal(`stands on another file (${shownName(behind)}), which is refused`);
    }
    if (found.encrypted === true) throw new Refusal('is encrypted, which is refused');
    const problem = sizeProblem(found['virtual-size'], maxBytes);
    if (problem !== undefined) throw new Refusal(problem);
    const check = ['check', '-q', '-U', '-f', format, IN];
    const checked = await this.#qemuImg.run({ source: path, arguments: check }, signal);
    if (!HARMLESS.includes(checked.status)) throw broken(format, checked);
    await using handle = await open(path, 'r');
    if (await endsTooSoon(handle, format)) {
      throw new Refusal(
        `is a ${format} image that is cut off, as it has data behind its end; ${ANEW}`,
      );
    }
    return found['virtual-size'];
  }

  async #convert(
    { path, format, maxBytes }: Checked,
    virtualBytes: number,
    signal: AbortSignal,
  ): Promise<AdmittedFile> {
    const target = convertedFile(path);
    await using undo = new AsyncDisposableStack();
    undo.defer(() => rm(target, { force: true }));
    await (await open(target, 'w', 0o600)).close();
    const convert = ['convert', '-q', '-f', format, '-O', 'qcow2', IN, OUT];
    const work = { source: path, target: { path: target, maxBytes }, arguments: convert };
    const end = await this.#qemuImg.run(work, signal);
    if (saysFull(end.complaint)) {
      throw new AgentError('STORAGE_FULL', `Cannot convert the image ${path}: ${FULL}`);
    }
    if (end.status === undefined || end.complaint.includes('File too large')) {
      throw new Refusal(
        `takes more than ${sizeText(maxBytes)} as qcow2, or more time or memory to be converted than any may; convert it first, with: qemu-img convert -O qcow2 FILE NEW-FILE`,
      );
    }
    if (end.status !== 0) throw broken(format, end);
    const bytes = await this.#check({ path: target, format: 'qcow2', maxBytes }, signal);
    if (bytes !== virtualBytes) {
      throw new Refusal(`has ${virtualBytes} bytes, and ${bytes} once it is converted; ${ANEW}`);
    }
    undo.move();
    return { path: target, format: 'qcow2', virtualBytes };
  }
}

interface Looked {
  readonly format: ImageFormat;
  /** On the disk. */
  readonly bytes: number;
}

/** Why an image is not taken, after "it". */
class Refusal extends Error {}

async function refusing<T>({ origin }: AdmitRequest, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const message = `Cannot use the image ${shownSource(origin.url)}: it ${error.message}`;
    throw new AgentError('IMAGE_INVALID', message);
  }
}

function broken(format: ImageFormat, { status, complaint }: ConfinedEnd): Refusal {
  const said = shownName(complaint.split('\n')[0] ?? '');
  const why =
    status === undefined
      ? 'it takes more time or memory to be looked at than any may'
      : `qemu-img says: ${said}`;
  return new Refusal(`is a ${format} image that is broken or cut off (${why}); ${ANEW}`);
}

async function vhdxKind(handle: FileHandle): Promise<ImageKind> {
  const at = vhdxMetadataAt(await readAt(handle, VHDX_REGIONS_AT, KIND_BYTES));
  const metadata = at === undefined ? '' : await readAt(handle, at, VHDX_TABLE_BYTES);
  return { ...readVhdx(Buffer.from(metadata)), mayBeRaw: false };
}

/** What is all zeros takes no room. Some file systems cannot, which is no loss but of that. */
async function digHoles(path: string, signal: AbortSignal): Promise<void> {
  try {
    await promisify(execFile)('fallocate', ['--dig-holes', '--', path], { signal });
  } catch {
    signal.throwIfAborted();
  }
}
