import { Slots } from '../../../core/slots.ts';
import { untilAborted } from '../../../core/until-aborted.ts';
import type {
  DiskProbe,
  ImageSighting,
  MarkedImage,
  MarkedImages,
  MarkedPlace,
  OpenPlace,
} from '../../disk-probe.ts';
import type { PlaceSettings } from '../allowed-places.ts';
import { HangingProcesses, StorageProcess } from '../storage-process.ts';
import { type ProbeRequest, type ProbeVerb, probeProcessUrl } from './probe-protocol.ts';

/** Processes at once for each of the two verbs; each takes some 40 MiB while it runs. */
const MAX_PROCESSES = 4;
const DEFAULT_TIMEOUT_MS = 10_000;
const END_TIMEOUT_MS = 5_000;
/** A killed process ends at once, unless the kernel keeps it for storage that has gone away. */
const KILL_TIMEOUT_MS = 1_000;
/** Of those no more are started then. */
const MAX_HANGING = 8;

/** Looks at images in a process of its own each time, so that storage that has gone away keeps nobody else. */
export class ProcessDiskProbe implements DiskProbe {
  readonly #places: PlaceSettings;
  readonly #timeoutMs: number;
  // Of its own for each: who marks waits for another node to look, which may be marking for this one.
  readonly #marking = new Slots(MAX_PROCESSES);
  readonly #looking = new Slots(MAX_PROCESSES);
  /** Processes that do not end although they were killed. */
  readonly #hanging = new HangingProcesses(MAX_HANGING);

  constructor(options: { readonly places: PlaceSettings; readonly timeoutMs?: number }) {
    this.#places = options.places;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  async mark(images: readonly OpenPlace[], signal: AbortSignal): Promise<MarkedImages> {
    if (images.length === 0) return { images: [], async [Symbol.asyncDispose]() {} };
    await using slot = await this.#marking.take(signal);
    if (this.#hanging.areTooMany) {
      return { images: images.map(() => NO_ANSWER), async [Symbol.asyncDispose]() {} };
    }
    const process = this.#start({ verb: 'mark', images });
    const found = await process.answers(this.#timeoutMs, signal);
    const kept = slot.move();
    kept.defer(() => process.end());
    return {
      images: found as readonly MarkedImage[],
      [Symbol.asyncDispose]: () => kept.disposeAsync(),
    };
  }

  async look(
    images: readonly MarkedPlace[],
    signal: AbortSignal,
  ): Promise<readonly ImageSighting[]> {
    if (images.length === 0) return [];
    await using _slot = await this.#looking.take(signal);
    if (this.#hanging.areTooMany) return images.map(() => NO_ANSWER);
    const process = this.#start({ verb: 'look', images });
    const found = await process.answers(this.#timeoutMs, signal);
    await process.end();
    return found as readonly ImageSighting[];
  }

  #start(verb: ProbeVerb): ProbeProcess {
    return new ProbeProcess({ ...verb, places: this.#places }, this.#hanging);
  }
}

const NO_ANSWER = {
  kind: 'unknown',
  problem: 'the storage does not answer',
} as const;

/** The last line of a process that was killed may be cut off. */
function read(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return NO_ANSWER;
  }
}

class ProbeProcess {
  readonly #process: StorageProcess;
  readonly #request: ProbeRequest;
  readonly #hanging: HangingProcesses;
  readonly #answers: unknown[] = [];
  readonly #isOver = Promise.withResolvers<void>();

  constructor(request: ProbeRequest, hanging: HangingProcesses) {
    this.#request = request;
    this.#hanging = hanging;
    this.#process = new StorageProcess({
      program: probeProcessUrl(),
      onLine: (line) => {
        this.#answers.push(read(line));
        if (this.#answers.length === request.images.length) this.#isOver.resolve();
      },
      onEnd: () => this.#isOver.resolve(),
    });
    this.#process.tell(request);
  }

  /** An answer for each image; those that did not come in time are unknown. */
  async answers(timeoutMs: number, signal: AbortSignal): Promise<readonly unknown[]> {
    const { images } = this.#request;
    const late = setTimeout(() => this.#isOver.resolve(), timeoutMs);
    try {
      await untilAborted(this.#isOver.promise, signal);
    } catch (error) {
      void this.end();
      throw error;
    } finally {
      clearTimeout(late);
    }
    const answers = [...this.#answers];
    if (answers.length < images.length) void this.end();
    return images.map((_, index) => answers[index] ?? NO_ANSWER);
  }

  /** Its marks are gone when this resolves, unless their storage has gone away; then it may still be there. */
  async end(): Promise<void> {
    this.#process.endInput();
    if (await this.#exitsWithin(END_TIMEOUT_MS)) return;
    this.#process.kill();
    if (await this.#exitsWithin(KILL_TIMEOUT_MS)) return;
    this.#hanging.add(this.#process, '');
  }

  async #exitsWithin(timeoutMs: number): Promise<boolean> {
    try {
      await untilAborted(this.#process.exited, AbortSignal.timeout(timeoutMs));
      return true;
    } catch {
      return false;
    }
  }
}
