import type { Logger } from '../../core/logger.ts';
import type { DefinitionCache } from './definition-cache.ts';
import type { DescriptionFile } from './description-file.ts';

type Cache = Pick<DefinitionCache, 'changes' | 'descriptions'>;

/** An agent that is killed leaves what was known so long before; what has changed since is described anew. */
const INTERVAL_MS = 60_000;

/** Keeps what is known of domains for the next agent, now and then and at the end. */
export class DescriptionKeeper implements AsyncDisposable {
  readonly #cache: Cache;
  readonly #file: Pick<DescriptionFile, 'write' | 'forget'>;
  readonly #logger: Logger | undefined;
  readonly #timer: NodeJS.Timeout;
  #kept = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(
    cache: Cache,
    file: Pick<DescriptionFile, 'write' | 'forget'>,
    logger: Logger | undefined,
  ) {
    this.#cache = cache;
    this.#file = file;
    this.#logger = logger;
    this.#timer = setInterval(() => {
      file.forget();
      this.#keepLater();
    }, INTERVAL_MS).unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#keepLater();
    await this.#last;
  }

  #keepLater(): void {
    this.#last = this.#last.then(() => this.#keep());
  }

  async #keep(): Promise<void> {
    const { changes } = this.#cache;
    if (changes === this.#kept) return;
    try {
      await this.#file.write(this.#cache.descriptions());
      this.#kept = changes;
    } catch (error) {
      this.#logger?.debug({ err: error }, 'What is known of domains could not be kept');
    }
  }
}
