import { Slots } from '../../core/slots.ts';

/** More at once would only share the node's link. */
const AT_ONE_SERVER = 3;
const AT_ALL = 12;

/** Whose turn it is to fetch: who waits for one server that is slow keeps nobody from another. */
export class ServerSlots {
  readonly #all = new Slots(AT_ALL);
  readonly #servers = new Map<string, Slots>();

  /** Disposing the answer makes room for the next. */
  async take(source: string, signal: AbortSignal): Promise<AsyncDisposable> {
    const server = serverOf(source);
    const slots = this.#servers.get(server) ?? new Slots(AT_ONE_SERVER);
    this.#servers.set(server, slots);
    await using taken = new AsyncDisposableStack();
    taken.defer(() => {
      if (slots.free === slots.count) this.#servers.delete(server);
    });
    taken.use(await slots.take(signal));
    taken.use(await this.#all.take(signal));
    return taken.move();
  }
}

function serverOf(source: string): string {
  // All buckets are at one endpoint.
  if (source.startsWith('s3:')) return 's3:';
  return URL.canParse(source) ? new URL(source).host : '';
}
