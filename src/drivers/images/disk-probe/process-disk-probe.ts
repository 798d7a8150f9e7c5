import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
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
import { type ProbeRequest, type ProbeVerb, probeProcessUrl } from './probe-protocol.ts';

/** Processes at once for each of the two verbs; each takes some 40 MiB while it runs. */
const MAX_PROCESSES = 4;
const DEFAULT_TIMEOUT_MS = 10_000;
const END_TIMEOUT_MS = 5_000;
/** A killed process ends at once, unless the kernel keeps it for storage that has gone away. */
const KILL_TIMEOUT_MS = 1_000;
/** Of those no more are started then. */
const MAX_HANGING = 8;
/** It reads a few files and ends. */
const MEMORY_FLAGS = ['--max-semi-space-size=1', '--max-old-space-size=64'];

/** Looks at images in a process of its own each time, so that storage that has gone away keeps nobody else. */
export class ProcessDiskProbe implements DiskProbe {
  readonly #places: PlaceSettings;
  readonly #timeoutMs: number;
  // Of its own for each: who marks waits for another node to look, which may be marking for this one.
  readonly #marking = new Slots(MAX_PROCESSES);
  readonly #looking = new Slots(MAX_PROCESSES);
  /** Processes that do not end although they were killed. */
  readonly #hanging = new Set<ProbeProcess>();

  constructor(options: { readonly places: PlaceSettings; readonly timeoutMs?: number }) {
    this.#places = options.places;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  async mark(images: readonly OpenPlace[], signal: AbortSignal): Promise<MarkedImages> {
    if (images.length === 0) return { images: [], async [Symbol.asyncDispose]() {} };
    await using slot = await this.#marking.take(signal);
    if (this.#hanging.size >= MAX_HANGING) {
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
    if (this.#hanging.size >= MAX_HANGING) return images.map(() => NO_ANSWER);
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
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #request: ProbeRequest;
  readonly #exited: Promise<unknown>;
  readonly #hanging: Set<ProbeProcess>;

  constructor(request: ProbeRequest, hanging: Set<ProbeProcess>) {
    this.#request = request;
    this.#hanging = hanging;
    this.#child = spawn(process.execPath, [...MEMORY_FLAGS, probeProcessUrl().pathname], {
      stdio: 'pipe',
    });
    // One that cannot be started, or dies before it has read, has no answers.
    this.#child.stdin.on('error', () => undefined);
    this.#exited = once(this.#child, 'exit').catch(() => undefined);
    this.#child.stderr.resume();
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
  }

  /** An answer for each image; those that did not come in time are unknown. */
  async answers(timeoutMs: number, signal: AbortSignal): Promise<readonly unknown[]> {
    const { length } = this.#request.images;
    const answers: unknown[] = [];
    const { promise: isOver, resolve: end } = Promise.withResolvers<void>();
    createInterface({ input: this.#child.stdout })
      .on('line', (line) => {
        answers.push(read(line));
        if (answers.length === length) end();
      })
      .on('close', end);
    const late = setTimeout(end, timeoutMs);
    try {
      await untilAborted(isOver, signal);
    } catch (error) {
      void this.end();
      throw error;
    } finally {
      clearTimeout(late);
    }
    if (answers.length < length) void this.end();
    return this.#request.images.map((_, index) => answers[index] ?? NO_ANSWER);
  }

  /** Its marks are gone when this resolves, unless their storage has gone away; then it may still be there. */
  async end(): Promise<void> {
    this.#child.stdin.end();
    if (await this.#exitsWithin(END_TIMEOUT_MS)) return;
    this.#child.kill('SIGKILL');
    if (await this.#exitsWithin(KILL_TIMEOUT_MS)) return;
    this.#hanging.add(this);
    void this.#exited.then(() => this.#hanging.delete(this));
  }

  async #exitsWithin(timeoutMs: number): Promise<boolean> {
    try {
      await untilAborted(this.#exited, AbortSignal.timeout(timeoutMs));
      return true;
    } catch {
      return false;
    }
  }
}
