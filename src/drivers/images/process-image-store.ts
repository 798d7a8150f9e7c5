import { delay } from '../../core/delay.ts';
import { AgentError } from '../../core/errors.ts';
import { Slots } from '../../core/slots.ts';
import type {
  AdmitRequest,
  ImageNote,
  ImagePart,
  ImageStore,
  ImageVerdict,
  StoredImage,
} from '../image-store.ts';
import { foreseeContent } from './foreseen-content.ts';
import { imageFolderOf } from './image-folder.ts';
import type { AskOptions, ImageProcesses } from './image-processes.ts';
import type { StoreQuestion } from './image-protocol.ts';

type Question = StoreQuestion extends infer Each
  ? Each extends StoreQuestion
    ? Omit<Each, 'folder'>
    : never
  : never;

/** What was being converted is given up at once, but for what its process is still being killed. */
const DISCARDS = 25;
const BETWEEN_DISCARDS_MS = 200;
const DISCARD_TIMEOUT_MS = 10_000;

/** Keeps images, and waits for no storage that has gone away. */
export class ProcessImageStore implements ImageStore {
  readonly foresee = foreseeContent;
  readonly #processes: ImageProcesses;
  readonly #folder: string;
  readonly #place: string;
  /** One at a time changes what is known of an image: none would see what another writes meanwhile. */
  readonly #changes = new Map<string, Slots>();

  /** `folder` is where the disks are that stand on images. */
  constructor(processes: ImageProcesses, folder: string) {
    this.#processes = processes;
    this.#folder = folder;
    // Of a file's name, its folder is what counts: disks are at the same place.
    this.#place = imageFolderOf(folder);
  }

  prepare(signal: AbortSignal): Promise<string> {
    return this.#ask<string>({ verb: 'prepareImages' }, signal);
  }

  async admit(request: AdmitRequest, signal: AbortSignal): Promise<StoredImage> {
    await using _turn = await this.#turn(request.digest, signal);
    try {
      return await this.#ask({ verb: 'admitImage', request }, signal, { isLong: true });
    } catch (error) {
      // Whoever has refused it has removed it; whoever was killed has not.
      if (!(error instanceof AgentError) || error.reason === 'IMAGE_UNREACHABLE') {
        await this.#discard(request.path);
      }
      throw error;
    }
  }

  list(signal: AbortSignal): Promise<readonly StoredImage[]> {
    return this.#ask<readonly StoredImage[]>({ verb: 'listImages' }, signal);
  }

  async note(digest: string, note: ImageNote, signal: AbortSignal): Promise<void> {
    await using _turn = await this.#turn(digest, signal);
    await this.#ask({ verb: 'noteImage', digest, note }, signal);
  }

  async remove(digest: string, signal: AbortSignal): Promise<void> {
    await using _turn = await this.#turn(digest, signal);
    await this.#ask({ verb: 'removeImage', digest }, signal);
  }

  verify(digest: string, signal: AbortSignal): Promise<ImageVerdict> {
    return this.#ask<ImageVerdict>({ verb: 'verifyImage', digest }, signal, { isLong: true });
  }

  listParts(names: readonly string[], signal: AbortSignal): Promise<readonly ImagePart[]> {
    return this.#ask<readonly ImagePart[]>({ verb: 'listParts', names }, signal);
  }

  async discardPart(name: string, signal: AbortSignal): Promise<void> {
    await this.#ask({ verb: 'discardPart', name }, signal);
  }

  async tidy(wanted: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#ask({ verb: 'tidyImages', wanted }, signal);
  }

  async #turn(digest: string, signal: AbortSignal): Promise<AsyncDisposableStack> {
    const slots = this.#changes.get(digest) ?? new Slots(1);
    this.#changes.set(digest, slots);
    const turn = await slots.take(signal);
    turn.defer(() => {
      if (slots.waiting === 0 && this.#changes.get(digest) === slots) this.#changes.delete(digest);
    });
    return turn;
  }

  /** What is left of it if that cannot be done is for `tidy`. */
  async #discard(fetched: string): Promise<void> {
    const signal = AbortSignal.timeout(DISCARD_TIMEOUT_MS);
    try {
      for (let tries = 0; tries < DISCARDS; tries += 1) {
        const question = { verb: 'discardFetched', path: fetched, folder: this.#folder } as const;
        if ('found' in (await this.#processes.ask(this.#place, question, signal))) return;
        await delay(BETWEEN_DISCARDS_MS, signal);
      }
    } catch {
      // The failure that has led here is the one to tell.
    }
  }

  async #ask<T>(question: Question, signal: AbortSignal, options?: AskOptions): Promise<T> {
    const asked = { ...question, folder: this.#folder } as StoreQuestion;
    const answer = await this.#processes.ask(this.#place, asked, signal, options);
    if ('found' in answer) return answer.found as T;
    const { reason, text } = answer.unreachable;
    throw new AgentError(reason, `Cannot work on the images in ${this.#folder}: ${text}`);
  }
}
