import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import * as z from '../../core/zod.ts';
import type { FileOwner } from '../hypervisor-host.ts';
import type {
  FileInfo,
  FileKind,
  ImageInfo,
  ImageInspector,
  ImageProblem,
  ImageQuery,
  ImageSize,
} from '../images.ts';
import { AllowedPlaces, type Place, type PlaceSettings } from './allowed-places.ts';
import { type Chain, readChain } from './backing-chain.ts';
import { findDeviceUse } from './device-use.ts';
import { isEncrypted, readFormat } from './image-format.ts';
import { findDeviceHolders, findHolders } from './image-holders.ts';
import { measureImage } from './image-size.ts';
import { listMissing } from './missing-files.ts';
import { type AccessQuery, findAccessProblem } from './process-access.ts';
import { findWriteProblem } from './write-access.ts';

type Found = FileInfo & Partial<ImageInfo>;

export interface QemuImgInspectorOptions {
  readonly places: PlaceSettings;
  readonly binary?: string;
  /** libvirt's settings for QEMU. */
  readonly qemuConf?: string;
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;

const reportSchema = z.object({ format: z.string() });

/** Asks first whether a VM may have what is there, and only of an image that is to be qcow2 then what it is. */
export class QemuImgInspector implements ImageInspector {
  readonly #options: QemuImgInspectorOptions;
  readonly #places: AllowedPlaces;
  readonly #binary: string;
  readonly #timeoutMs: number;

  constructor(options: QemuImgInspectorOptions) {
    this.#options = options;
    this.#places = new AllowedPlaces(options.places);
    this.#binary = options.binary ?? 'qemu-img';
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  async findBootFile(
    path: string,
    user: FileOwner | undefined,
    signal: AbortSignal,
  ): Promise<FileInfo | undefined> {
    return this.#inTime((deadline) => this.#findBootFile(path, user, deadline), signal);
  }

  async find(query: ImageQuery, signal: AbortSignal): Promise<ImageInfo | undefined> {
    const found = await this.#inTime((deadline) => this.#find(query, deadline), signal);
    return found && { format: '', fileId: undefined, behind: [], holders: [], ...found };
  }

  measure(query: Pick<ImageQuery, 'path' | 'format'>): Promise<ImageSize | undefined> {
    return measureImage(query);
  }

  listMissing(paths: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    return listMissing(paths, signal);
  }

  async #findBootFile(
    path: string,
    user: FileOwner | undefined,
    signal: AbortSignal,
  ): Promise<FileInfo | undefined> {
    const place = await this.#places.findFile(path, 'boot');
    if (place.real === undefined) return place.problem && { kind: 'file', problem: place.problem };
    const kind = await kindOf(place.real);
    if (kind !== 'file') return { kind, problem: invalid('it is no plain file; name one') };
    return {
      kind,
      problem: await this.#accessProblem({ files: [place.real], isWritten: false, user }, signal),
    };
  }

  async #find(query: ImageQuery, signal: AbortSignal): Promise<Found | undefined> {
    const { path, format, user } = query;
    const place = await this.#locate(query);
    if (place.real === undefined) {
      return place.problem && { kind: query.kind, problem: place.problem };
    }
    const { real } = place;
    const kind = await kindOf(real);
    if (kind === 'other') {
      return { kind, problem: invalid('it is neither a file nor a block device; name an image') };
    }
    // Whoever asked says what is wrong with that.
    if (kind !== query.kind) return { kind, problem: undefined };
    const deviceUse = kind === 'block-device' ? await findDeviceUse(real) : undefined;
    if (deviceUse !== undefined) {
      const text = `${deviceUse}; choose a device that this node does not use itself`;
      return { kind, problem: { reason: 'DEVICE_IN_USE', text } };
    }
    const chain =
      format === 'raw' ? { files: [real], problem: undefined } : await this.#readChain(real, query);
    if (chain.problem !== undefined) return { kind, problem: chain.problem };
    if (query.encryption === 'required' && !(await isEncrypted(real))) {
      const text = 'it is not encrypted, and was made so; put back what was there';
      return { kind, problem: invalid(text) };
    }
    const isWritten = !query.isReadOnly;
    const closed = await this.#accessProblem({ files: chain.files, isWritten, user }, signal);
    if (closed !== undefined) return { kind, problem: closed };
    const unwritable = isWritten ? await findWriteProblem(real) : undefined;
    if (unwritable !== undefined) return { kind, problem: unwritable };
    const asked = chain.files.map((file, depth) => ({
      path: file,
      isWritten: isWritten && depth === 0,
    }));
    const [first] = asked;
    const holders =
      kind === 'block-device' && first !== undefined
        ? await findDeviceHolders(first, signal)
        : await findHolders(asked, signal);
    const [fileId, ...behind] = await Promise.all(chain.files.map(idOf));
    const use = { fileId, behind, holders, problem: undefined };
    if (format === 'raw') {
      const content = query.tellsContent === true ? await readContent(real) : {};
      return { kind, format, ...content, ...use };
    }
    return { kind, ...(await this.#report(path, signal)), ...use };
  }

  /** As it is said to be. What is allowed as the other kind, and is that, is found so that it can be told to be named as it is. */
  async #locate({ path, kind }: ImageQuery): Promise<Place> {
    const asFile = await this.#places.findFile(path, 'disk');
    const asDevice = await this.#places.findDevice(path);
    const [named, other] = kind === 'file' ? [asFile, asDevice] : [asDevice, asFile];
    if (named.real !== undefined || other.real === undefined) return named;
    return (await kindOf(other.real)) === kind ? named : other;
  }

  async #accessProblem(
    { user, ...files }: Omit<AccessQuery, 'user'> & { readonly user: FileOwner | undefined },
    signal: AbortSignal,
  ): Promise<ImageProblem | undefined> {
    const { qemuConf } = this.#options;
    return user && (await findAccessProblem({ ...files, user }, signal, { qemuConf }));
  }

  #readChain(real: string, { encryption }: ImageQuery): Promise<Chain> {
    const mayBeEncrypted = encryption !== undefined;
    return readChain(real, (next) => this.#places.findBackingProblem(next), { mayBeEncrypted });
  }

  /** A file on hung storage keeps its system call for ever; this only stops waiting for it. */
  async #inTime(
    work: (deadline: AbortSignal) => Promise<Found | undefined>,
    signal: AbortSignal,
  ): Promise<Found | undefined> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(this.#timeoutMs)]);
    deadline.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(deadline.reason as Error);
    deadline.addEventListener('abort', abort, { once: true });
    try {
      return await Promise.race([work(deadline), aborted.promise]);
    } catch (error) {
      signal.throwIfAborted();
      if (isAbsence(error)) return undefined;
      if (error instanceof AgentError) throw error;
      const text = isTimeout(error)
        ? 'it could not be read in time; look at the storage behind it'
        : `it cannot be read: ${firstLine(error)}`;
      return { kind: 'other', problem: invalid(text) };
    } finally {
      deadline.removeEventListener('abort', abort);
    }
  }

  /**
   * Without --backing-chain, and of a format that it need not guess, qemu-img opens this one file. `-U` reads it although a VM has
   * it in use.
   */
  async #report(path: string, signal: AbortSignal): Promise<z.infer<typeof reportSchema>> {
    const format = await readFormat(path);
    if (format !== 'qcow2') return { format };
    const args = ['info', '-f', 'qcow2', '--output=json', '-U', '--', path];
    try {
      const { stdout } = await promisify(execFile)(this.#binary, args, {
        signal,
        killSignal: 'SIGKILL',
        maxBuffer: MAX_OUTPUT_BYTES,
      });
      return reportSchema.parse(JSON.parse(stdout));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).syscall?.startsWith('spawn') !== true) throw error;
      throw new AgentError(
        'FEATURE_NOT_SUPPORTED',
        `Cannot look at disk images: ${this.#binary} cannot be run; install qemu-utils on the node`,
        { cause: error },
      );
    }
  }
}

/** Nothing depends on it, so nothing fails for it. */
async function readContent(real: string): Promise<Pick<ImageInfo, 'content'>> {
  try {
    return { content: await readFormat(real) };
  } catch {
    return {};
  }
}

async function idOf(real: string): Promise<string> {
  const { dev, ino, rdev } = await stat(real);
  return rdev === 0 ? `${dev}/${ino}` : `device ${rdev}`;
}

async function kindOf(real: string): Promise<FileKind> {
  const found = await stat(real);
  if (found.isFile()) return 'file';
  return found.isBlockDevice() ? 'block-device' : 'other';
}

function invalid(text: string): ImageProblem {
  return { reason: 'IMAGE_INVALID', text };
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'TimeoutError';
}

function isAbsence(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

function firstLine(error: unknown): string {
  const { stderr, message } = error as Error & { stderr?: string };
  return (stderr?.trim() || message).split('\n')[0] ?? '';
}
