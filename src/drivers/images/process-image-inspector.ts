import type { FileOwner } from '../hypervisor-host.ts';
import type { FileInfo, ImageInfo, ImageInspector, ImageQuery, ImageSize } from '../images.ts';
import type { ImageProcesses } from './image-processes.ts';
import type { ImageQuestion } from './image-protocol.ts';
import { listMissing } from './missing-files.ts';

/** Looks at images, and waits for no storage that has gone away. */
export class ProcessImageInspector implements ImageInspector {
  readonly #processes: ImageProcesses;

  constructor(processes: ImageProcesses) {
    this.#processes = processes;
  }

  async find(query: ImageQuery, signal: AbortSignal): Promise<ImageInfo | undefined> {
    const found = await this.#ask(query.path, { verb: 'find', query }, signal);
    return found && { format: '', fileId: undefined, behind: [], holders: [], ...found };
  }

  findBootFile(
    path: string,
    user: FileOwner | undefined,
    signal: AbortSignal,
  ): Promise<FileInfo | undefined> {
    return this.#ask(path, { verb: 'findBootFile', path, user }, signal);
  }

  async measure(
    query: Pick<ImageQuery, 'path' | 'format'>,
    signal: AbortSignal,
  ): Promise<ImageSize | undefined> {
    const answer = await this.#processes.ask(query.path, { verb: 'measure', query }, signal);
    return 'unreachable' in answer ? undefined : (answer.found as ImageSize | undefined);
  }

  listMissing(paths: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    return listMissing(paths, signal);
  }

  async #ask(
    path: string,
    question: ImageQuestion,
    signal: AbortSignal,
  ): Promise<FileInfo | ImageInfo | undefined> {
    const answer = await this.#processes.ask(path, question, signal);
    if ('unreachable' in answer) return { kind: 'other', problem: answer.unreachable };
    return answer.found as FileInfo | ImageInfo | undefined;
  }
}
