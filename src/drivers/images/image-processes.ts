import { dirname } from 'node:path';
import { AgentError } from '../../core/errors.ts';
import { Slots } from '../../core/slots.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { CopyProgress } from '../disk-files.ts';
import type { ImageProblem } from '../images.ts';
import {
  type ImageAnswer,
  type ImageProcessSettings,
  type ImageProgressLine,
  type ImageQuestion,
  imageProcessUrl,
} from './image-protocol.ts';
import { placeOf } from './mount-points.ts';
import { HangingProcesses, StorageProcess } from './storage-process.ts';

export interface ImageProcessesOptions extends ImageProcessSettings {
  /** How long storage is waited for. Default 10 s. */
  readonly timeoutMs?: number;
  /** Where processes may hang at once before no more are started. */
  readonly maxHanging?: number;
}

const DEFAULT_TIMEOUT_MS = 10_000;
/** Of what reads or writes whole images, and does not say how far it is. */
const LONG_TIMEOUT_MS = 2 * 60 * 60 * 1000;
const MAX_HANGING = 8;
/** More at once would only take each other's time, until storage that is well counts as gone. */
const MAX_AT_ONE_PLACE = 4;
/** Of what reads or writes whole images: two keep most storage busy. */
const MAX_LONG_AT_ONE_PLACE = 2;
/** Kept for the next question; each takes some 40 MiB, and is there again in a tenth of a second. */
const KEEP_MS = 2_000;
/** What is killed and does not hang has ended by then. */
const KILLED_MS = 2_000;

export interface AskOptions {
  /** Of what takes minutes by itself. */
  readonly isLong?: boolean;
  /** Of what says how far it is: it may take as long as its storage answers. */
  readonly onProgress?: ((progress: CopyProgress) => void) | undefined;
}

/**
 * Works on images in processes of their own, so that storage that has gone away keeps nobody but who asks for what is on it. A
 * process that hangs is killed; one in the kernel's uninterruptible sleep only ends with that, and until then nobody is sent to
 * the same place.
 */
export class ImageProcesses implements Disposable {
  readonly #options: ImageProcessesOptions;
  readonly #idle: ImageProcess[] = [];
  /** Of what they were asked about. */
  readonly #hanging: HangingProcesses;
  /** Where somebody asks or waits to. */
  readonly #queues = new Map<string, Queue>();
  #keepTimer: NodeJS.Timeout | undefined;

  constructor(options: ImageProcessesOptions) {
    this.#options = options;
    this.#hanging = new HangingProcesses(options.maxHanging ?? MAX_HANGING);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#keepTimer);
    for (const each of this.#idle.splice(0)) each.kill();
  }

  /** `unreachable` where the storage of the path does not answer in time. Fails as the work on it does. */
  async ask(
    path: string,
    question: ImageQuestion,
    signal: AbortSignal,
    { isLong = false, onProgress }: AskOptions = {},
  ): Promise<Answered> {
    signal.throwIfAborted();
    const place = placeOf(path);
    // Whatever takes long keeps nobody waiting but its like, and ends no sooner than the storage lets it.
    const lane = isLong ? `${place} at length` : place;
    const queue = this.#queues.get(lane) ?? new Queue(isLong);
    this.#queues.set(lane, queue);
    try {
      await using _slot = await queue.slots.take(AbortSignal.any([signal, queue.silence.signal]));
      using silence = isLong ? this.#watch(path) : undefined;
      const asked = { question, onProgress, silence: silence?.signal };
      const answer = await this.#askAt(lane, queue, asked, signal);
      return answer ?? unreachable(place);
    } catch (error) {
      signal.throwIfAborted();
      if (error !== SILENT) throw error;
      return unreachable(place);
    } finally {
      const isIdle = queue.slots.free === queue.slots.count;
      if (isIdle && this.#queues.get(lane) === queue) this.#queues.delete(lane);
    }
  }

  async #askAt(
    lane: string,
    queue: Queue,
    { question, onProgress, silence }: Asked,
    signal: AbortSignal,
  ): Promise<Answered | undefined> {
    const { timeoutMs = DEFAULT_TIMEOUT_MS } = this.#options;
    const limitMs = queue.isLong ? LONG_TIMEOUT_MS : timeoutMs;
    // One that was given up a moment ago is being killed.
    await this.#hanging.leaves(lane, Math.min(timeoutMs, KILLED_MS));
    if (this.#hanging.isAt(lane) || this.#hanging.areTooMany) return undefined;
    const process = this.#takeIdle() ?? new ImageProcess(this.#options);
    const deadline = AbortSignal.any([
      signal,
      ...(silence === undefined ? [] : [silence]),
      ...(onProgress === undefined ? [AbortSignal.timeout(limitMs)] : []),
    ]);
    let answer: ImageAnswer;
    try {
      answer = await untilAborted(process.ask(question, onProgress), deadline);
    } catch (error) {
      this.#end(process, lane);
      signal.throwIfAborted();
      if (!deadline.aborted) throw error;
      queue.tellAll();
      return undefined;
    }
    this.#keep(process);
    if ('failure' in answer) {
      throw new AgentError(answer.failure.reason, answer.failure.message);
    }
    return { found: answer.found };
  }

  /** Aborted once the storage of a path does not answer any more: nobody is to wait for hours to find that out. */
  #watch(path: string): Disposable & { readonly signal: AbortSignal } {
    const silence = new AbortController();
    const over = new AbortController();
    const question: ImageQuestion = { verb: 'availableBytes', folder: dirname(path) };
    const look = async (): Promise<void> => {
      const answer = await this.ask(path, question, over.signal);
      if ('unreachable' in answer) silence.abort(SILENT);
    };
    // Whatever else it fails with is told by what is waited for.
    const timer = setInterval(() => void look().catch(() => undefined), this.#watchMs);
    return {
      signal: silence.signal,
      [Symbol.dispose]: () => {
        clearInterval(timer);
        over.abort();
      },
    };
  }

  get #watchMs(): number {
    return 3 * (this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  }

  #takeIdle(): ImageProcess | undefined {
    for (;;) {
      const last = this.#idle.pop();
      if (last?.process.hasExited !== true) return last;
    }
  }

  #end(process: ImageProcess, lane: string): void {
    this.#hanging.add(process.process, lane);
    process.kill();
  }

  #keep(process: ImageProcess): void {
    this.#idle.push(process);
    clearTimeout(this.#keepTimer);
    this.#keepTimer = setTimeout(() => this[Symbol.dispose](), KEEP_MS);
    this.#keepTimer.unref();
  }
}

/** What came of a question. */
export type Answered = { readonly found: unknown } | { readonly unreachable: ImageProblem };

interface Asked {
  readonly onProgress: AskOptions['onProgress'];
  readonly question: ImageQuestion;
  /** Aborted once the storage does not answer. */
  readonly silence: AbortSignal | undefined;
}

/** Why nobody is asked any more who waited for storage to be asked. */
const SILENT = new Error('The storage has not answered somebody else');

/** Those who ask for what is at one place. */
class Queue {
  readonly isLong: boolean;
  readonly slots: Slots;
  silence = new AbortController();

  constructor(isLong: boolean) {
    this.isLong = isLong;
    this.slots = new Slots(isLong ? MAX_LONG_AT_ONE_PLACE : MAX_AT_ONE_PLACE);
  }

  /** The others need not find out one after another. */
  tellAll(): void {
    this.silence.abort(SILENT);
    this.silence = new AbortController();
  }
}

function unreachable(place: string): { readonly unreachable: ImageProblem } {
  const text = `its storage does not answer (${place}); look at what is mounted there and at its server, then try again`;
  return { unreachable: { reason: 'IMAGE_UNREACHABLE', text } };
}

class ImageProcess {
  readonly process: StorageProcess;
  #answer = Promise.withResolvers<ImageAnswer>();
  #onProgress: AskOptions['onProgress'];

  constructor({ places, binary, qemuConf }: ImageProcessesOptions) {
    // The deadline is the starter's.
    const settings: ImageProcessSettings = {
      places,
      ...(binary === undefined ? {} : { binary }),
      ...(qemuConf === undefined ? {} : { qemuConf }),
      timeoutMs: 2 ** 31 - 1,
    };
    this.process = new StorageProcess({
      program: imageProcessUrl(),
      arguments: [JSON.stringify(settings)],
      onLine: (line) => this.#hear(JSON.parse(line) as ImageAnswer | ImageProgressLine),
      onEnd: (error) => this.#answer.reject(error),
    });
    this.#answer.promise.catch(() => undefined);
    // One that waits for the next question.
    this.process.unref();
  }

  async ask(question: ImageQuestion, onProgress: AskOptions['onProgress']): Promise<ImageAnswer> {
    this.#answer = Promise.withResolvers();
    this.#onProgress = onProgress;
    this.process.tell(question);
    return this.#answer.promise;
  }

  #hear(line: ImageAnswer | ImageProgressLine): void {
    if ('progress' in line) this.#onProgress?.(line.progress);
    else this.#answer.resolve(line);
  }

  kill(): void {
    this.#answer.promise.catch(() => undefined);
    this.process.kill();
  }
}
