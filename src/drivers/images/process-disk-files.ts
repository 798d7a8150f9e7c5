import { AgentError } from '../../core/errors.ts';
import type { CopyProgress, DiskFiles, LargerDisk, NewDisk, UsedDisk } from '../disk-files.ts';
import type { AskOptions, ImageProcesses } from './image-processes.ts';
import type { ImageQuestion } from './image-protocol.ts';

const DISCARD_TIMEOUT_MS = 10_000;

/** Makes and removes disks, and waits for no storage that has gone away. */
export class ProcessDiskFiles implements DiskFiles {
  readonly #processes: ImageProcesses;

  constructor(processes: ImageProcesses) {
    this.#processes = processes;
  }

  make(disk: NewDisk, signal: AbortSignal): Promise<'made' | 'there'> {
    // A key takes seconds of computing.
    const isLong = disk.key !== undefined;
    return this.#ask(disk.path, { verb: 'makeDisk', disk }, signal, { isLong });
  }

  async copy(
    disk: NewDisk,
    onProgress: (progress: CopyProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const options = { isLong: true, onProgress };
      await this.#ask(disk.path, { verb: 'copyImage', disk }, signal, options);
    } catch (error) {
      // Whoever has failed at it has removed it; whoever was killed has not.
      if (!(error instanceof AgentError) || error.reason === 'IMAGE_UNREACHABLE') {
        await this.discardCopy(disk.path, AbortSignal.timeout(DISCARD_TIMEOUT_MS)).catch(
          // The failure that has led here is the one to tell, and the next copy throws it away.
          () => undefined,
        );
      }
      throw error;
    }
  }

  async discardCopy(path: string, signal: AbortSignal): Promise<void> {
    await this.#ask(path, { verb: 'discardCopy', path }, signal);
  }

  async resize(disk: LargerDisk, signal: AbortSignal): Promise<void> {
    const { path, format, bytes, key } = disk;
    const question = { verb: 'resizeDisk', disk: { path, format, bytes, key } } as const;
    await this.#ask(path, question, signal, { isLong: key !== undefined });
  }

  async remove(path: string, signal: AbortSignal): Promise<void> {
    await this.#ask(path, { verb: 'removeDisk', path }, signal);
  }

  list(folder: string, signal: AbortSignal): Promise<readonly string[]> {
    return this.#ask<readonly string[]>(folder, { verb: 'listDisks', folder }, signal);
  }

  async isUnused(disk: UsedDisk, signal: AbortSignal): Promise<boolean> {
    const { path, format, encryption } = disk;
    const question: ImageQuestion = { verb: 'isUnusedDisk', disk: { path, format, encryption } };
    const answer = await this.#processes.ask(path, question, signal);
    return 'found' in answer && answer.found === true;
  }

  isLocal(folder: string, signal: AbortSignal): Promise<boolean> {
    return this.#ask<boolean>(folder, { verb: 'isLocalFolder', folder }, signal);
  }

  availableBytes(folder: string, signal: AbortSignal): Promise<number> {
    return this.#ask<number>(folder, { verb: 'availableBytes', folder }, signal);
  }

  async #ask<T>(
    path: string,
    question: ImageQuestion,
    signal: AbortSignal,
    options?: AskOptions,
  ): Promise<T> {
    const answer = await this.#processes.ask(path, question, signal, options);
    if ('found' in answer) return answer.found as T;
    const { reason, text } = answer.unreachable;
    throw new AgentError(reason, `Cannot work on ${path}: ${text}`);
  }
}
