import type { Logger } from '../../core/logger.ts';
import type { DefinitionCache } from './definition-cache.ts';
import type { DescriptionFile } from './description-file.ts';

/** An agent that is killed leaves what was known so long before; what has changed since is described anew. */
const INTERVAL_MS = 60_000;

/** Keeps what is known of domains for the next agent, now and then and at the end. */
export class DescriptionKeeper implements AsyncDisposable {
  readonly #cache: Pick<DefinitionCache, 'described' | 'descriptions'>;
  readonly #file: Pick<DescriptionFile, 'write'>;
  readonly #logger: Logger | undefined;
  readonly #timer: NodeJS.Timeout;
  #kept = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(
    cache: Pick<DefinitionCache, 'described' | 'descriptions'>,
    file: Pick<DescriptionFile, 'write'>,
    logger: Logger | undefined,
  ) {
    this.#cache = cache;
    this.#file = file;
    this.#logger = logger;
    this.#timer = setInterval(() => this.#keep(), INTERVAL_MS).unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#keep();
    await this.#last;
  }

  #keep(): void {
    const { described } = this.#cache;
    if (described === this.#kept) return;
    this.#kept = described;
    this.#last = this.#last.then(async () => {
      try {
        await this.#file.write(this.#cache.descriptions());
      } catch (error) {
        this.#logger?.debug({ err: error }, 'What is known of domains could not be kept');
      }
    });
  }
}
