import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { AgentError } from '../../core/errors.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { FileOwner } from '../hypervisor-host.ts';
import type { FileInfo, ImageInfo, ImageInspector, ImageQuery } from '../images.ts';
import {
  type ImageAnswer,
  type ImageProcessSettings,
  type ImageQuestion,
  imageProcessUrl,
} from './image-protocol.ts';
import { listMissing } from './missing-files.ts';
import { placeOf } from './mount-points.ts';

export interface ProcessImageInspectorOptions extends ImageProcessSettings {
  /** How long storage is waited for. Default 10 s. */
  readonly timeoutMs?: number;
  /** Where processes may hang at once before no more are started. */
  readonly maxHanging?: number;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const MAX_HANGING = 8;
/** Kept for the next question; each takes some 40 MiB. */
const KEEP_MS = 10_000;
/** It reads a few files. */
const MEMORY_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=64'];

/**
 * Looks at images in processes of its own, so that storage that has gone away keeps nobody but who asks for what is on it. A
 * process that hangs is killed; one in the kernel's uninterruptible sleep only ends with that, and until then nobody is sent to
 * the same place.
 */
export class ProcessImageInspector implements ImageInspector, Disposable {
  readonly #options: ProcessImageInspectorOptions;
  readonly #idle: ImageProcess[] = [];
  /** Processes that were told to end, by what they were asked about. */
  readonly #hanging = new Map<ImageProcess, string>();
  #keepTimer: NodeJS.Timeout | undefined;

  constructor(options: ProcessImageInspectorOptions) {
    this.#options = options;
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

  listMissing(paths: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    return listMissing(paths, signal);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#keepTimer);
    for (const each of this.#idle.splice(0)) each.kill();
  }

  async #ask(
    path: string,
    question: ImageQuestion,
    signal: AbortSignal,
  ): Promise<FileInfo | ImageInfo | undefined> {
    signal.throwIfAborted();
    const { timeoutMs = DEFAULT_TIMEOUT_MS, maxHanging = MAX_HANGING } = this.#options;
    const place = placeOf(path);
    const hangs = [...this.#hanging.values()].includes(place);
    if (hangs || this.#hanging.size >= maxHanging) return unreachable(place);
    const process = this.#takeIdle() ?? new ImageProcess(this.#options);
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
    let answer: ImageAnswer;
    try {
      answer = await untilAborted(process.ask(question), deadline);
    } catch (error) {
      this.#end(process, place);
      signal.throwIfAborted();
      if (deadline.aborted) return unreachable(place);
      throw error;
    }
    this.#keep(process);
    if ('failure' in answer) {
      throw new AgentError(answer.failure.reason, answer.failure.message);
    }
    return answer.found;
  }

  #takeIdle(): ImageProcess | undefined {
    for (;;) {
      const last = this.#idle.pop();
      if (last?.hasExited !== true) return last;
    }
  }

  #end(process: ImageProcess, place: string): void {
    this.#hanging.set(process, place);
    void process.exited.then(() => this.#hanging.delete(process));
    process.kill();
  }

  #keep(process: ImageProcess): void {
    this.#idle.push(process);
    clearTimeout(this.#keepTimer);
    this.#keepTimer = setTimeout(() => this[Symbol.dispose](), KEEP_MS);
    this.#keepTimer.unref();
  }
}

function unreachable(place: string): FileInfo {
  const text = `its storage does not answer (${place}); look at what is mounted there and at its server, then try again`;
  return { kind: 'other', problem: { reason: 'IMAGE_UNREACHABLE', text } };
}

class ImageProcess {
  readonly exited: Promise<void>;
  hasExited = false;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: Interface;
  #answer = Promise.withResolvers<ImageAnswer>();

  constructor({ places, binary, qemuConf }: ProcessImageInspectorOptions) {
    // The deadline is the starter's.
    const settings: ImageProcessSettings = {
      places,
      ...(binary === undefined ? {} : { binary }),
      ...(qemuConf === undefined ? {} : { qemuConf }),
      timeoutMs: 2 ** 31 - 1,
    };
    const file = imageProcessUrl().pathname;
    // A group of its own, as what it starts hangs with it.
    this.#child = spawn(process.execPath, [...MEMORY_FLAGS, file, JSON.stringify(settings)], {
      stdio: 'pipe',
      detached: true,
    });
    const exited = Promise.withResolvers<void>();
    this.exited = exited.promise;
    let complaint = '';
    this.#child.stderr.on('data', (chunk: Buffer) => {
      complaint = (complaint + chunk.toString()).slice(-4096);
    });
    this.#child.stdin.on('error', () => undefined);
    this.#child.on('error', (error) => {
      this.#answer.reject(error);
      exited.resolve();
    });
    this.#child.on('exit', () => {
      this.hasExited = true;
      this.#answer.reject(new Error(`The process that looks at images has ended: ${complaint}`));
      exited.resolve();
    });
    this.#lines = createInterface({ input: this.#child.stdout });
    this.#lines.on('line', (line) => this.#answer.resolve(JSON.parse(line) as ImageAnswer));
    // One that waits for the next question keeps nobody from ending.
    this.#child.unref();
  }

  async ask(question: ImageQuestion): Promise<ImageAnswer> {
    this.#answer = Promise.withResolvers();
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    return this.#answer.promise;
  }

  kill(): void {
    const { pid } = this.#child;
    this.#answer.promise.catch(() => undefined);
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
    this.#child.stdout.destroy();
    this.#child.stderr.destroy();
    this.#child.stdin.destroy();
  }
}
