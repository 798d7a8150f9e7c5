import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { AgentError } from '../../core/errors.ts';
import type { FileKind, ImageInfo, ImageInspector } from '../images.ts';
import { findChainProblem } from './backing-chain.ts';

export interface QemuImgInspectorOptions {
  readonly binary?: string;
  /** Folders whose images may stand behind any image, such as one of golden images. */
  readonly backingFolders?: readonly string[];
  readonly timeoutMs?: number;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;

const reportSchema = z.object({ format: z.string(), 'virtual-size': z.number() });

/** Tells an image's format with qemu-img, after its header has been found to lead nowhere that it should not. */
export class QemuImgInspector implements ImageInspector {
  readonly #binary: string;
  readonly #backingFolders: readonly string[];
  readonly #timeoutMs: number;

  constructor(options: QemuImgInspectorOptions = {}) {
    this.#binary = options.binary ?? 'qemu-img';
    this.#backingFolders = options.backingFolders ?? [];
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  async findKind(path: string, signal: AbortSignal): Promise<FileKind | undefined> {
    return this.#inTime((deadline) => findKind(path, deadline), signal);
  }

  async find(path: string, signal: AbortSignal): Promise<ImageInfo | undefined> {
    return this.#inTime((deadline) => this.#find(path, deadline), signal).catch(
      (error: unknown) => {
        if (!isTimeout(error) || signal.aborted) throw error;
        const problem = 'it could not be read in time; look at the storage behind it';
        return { kind: 'other', format: '', virtualSizeBytes: 0, problem } as const;
      },
    );
  }

  async #find(path: string, signal: AbortSignal): Promise<ImageInfo | undefined> {
    const kind = await findKind(path, signal);
    if (kind === undefined) return undefined;
    const unknown = { kind, format: '', virtualSizeBytes: 0 };
    if (kind === 'other') {
      return { ...unknown, problem: 'it is neither a file nor a block device; name an image' };
    }
    try {
      const problem = await findChainProblem(path, this.#backingFolders);
      if (problem !== undefined) return { ...unknown, problem };
      const { format, 'virtual-size': virtualSizeBytes } = await this.#report(path, signal);
      return { kind, format, virtualSizeBytes, problem: undefined };
    } catch (error) {
      signal.throwIfAborted();
      if (isAbsence(error)) return undefined;
      if (error instanceof AgentError) throw error;
      return { ...unknown, problem: `it cannot be read: ${firstLine(error)}` };
    }
  }

  /** A file on hung storage keeps its system call for ever; this only stops waiting for it. */
  async #inTime<T>(work: (deadline: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(this.#timeoutMs)]);
    deadline.throwIfAborted();
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(deadline.reason as Error);
    deadline.addEventListener('abort', abort, { once: true });
    try {
      return await Promise.race([work(deadline), aborted.promise]);
    } finally {
      deadline.removeEventListener('abort', abort);
    }
  }

  /** Without --backing-chain qemu-img opens this one file. `-U` reads it although a VM has it in use. */
  async #report(path: string, signal: AbortSignal): Promise<z.infer<typeof reportSchema>> {
    const args = ['info', '--output=json', '-U', '--', path];
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

async function findKind(path: string, signal: AbortSignal): Promise<FileKind | undefined> {
  signal.throwIfAborted();
  try {
    const found = await stat(path);
    if (found.isFile()) return 'file';
    return found.isBlockDevice() ? 'block-device' : 'other';
  } catch (error) {
    if (isAbsence(error)) return undefined;
    throw error;
  }
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
