import { type Runtime, Session } from 'node:inspector';
import { pathToFileURL } from 'node:url';

/** The files that a call of a driver has come through, from the handler of its request to the one that makes it. */
export interface Way {
  /** Such as `hypervisor.migrate`. */
  readonly call: string;
  readonly files: readonly string[];
}

const SOURCE = pathToFileURL('src/').href;
/** Stacks that led to another by waiting or by starting a task; a request has a few dozen. */
const MAX_HOPS = 1_000;

/**
 * Records the ways of requests. The debugger knows who has called whom across every await, and also who has started
 * a task that nobody waits for, so nothing between the handler and the driver can be missed. Only one at a time.
 */
export class WayRecorder implements Disposable {
  readonly ways: Way[] = [];
  readonly #handler: string;
  readonly #session = new Session();
  #call = '';

  /** Records what comes from a handler's file, such as `agent/rpc/node-handlers.ts`, and nothing else. */
  constructor(handler: string) {
    this.#handler = handler;
    this.#session.connect();
    const urls = new Map<string, string>();
    this.#session.on('Debugger.scriptParsed', ({ params }) =>
      urls.set(params.scriptId, params.url),
    );
    this.#session.post('Debugger.enable');
    this.#session.post('Debugger.setAsyncCallStackDepth', { maxDepth: MAX_HOPS });
    this.#session.on('Debugger.paused', ({ params }) => {
      const now = params.callFrames.map(({ location }) => urls.get(location.scriptId) ?? '');
      this.#note([...now, ...urlsOf(params.asyncStackTrace)]);
    });
  }

  /** Has each call of these methods of a driver recorded from now on. */
  watch<T extends object>(name: string, driver: T, methods: readonly (keyof T & string)[]): void {
    for (const key of methods) {
      const method: unknown = Reflect.get(driver, key);
      if (typeof method !== 'function') throw new Error(`${key} is no method of ${name}`);
      Reflect.set(driver, key, (...parameters: unknown[]): unknown => {
        this.#call = `${name}.${key}`;
        // oxlint-disable-next-line no-debugger -- where the session is asked for the stack
        debugger; // biome-ignore lint/suspicious/noDebugger: the same
        return Reflect.apply(method, driver, parameters);
      });
    }
  }

  /** The first way to a call; undefined if there is none. */
  find(call: string): Way | undefined {
    return this.ways.find((way) => way.call === call);
  }

  [Symbol.dispose](): void {
    this.#session.disconnect();
  }

  /** The innermost comes first. */
  #note(urls: readonly string[]): void {
    const files = urls
      .filter((url) => url.startsWith(SOURCE))
      .map((url) => url.slice(SOURCE.length))
      .toReversed();
    const start = files.lastIndexOf(this.#handler);
    if (start < 0) return;
    const passed = files.slice(start).filter((file, index, all) => file !== all[index - 1]);
    this.ways.push({ call: this.#call, files: passed });
  }
}

/** The files of a stack and of those that led to it. */
function urlsOf(stack: Runtime.StackTrace | undefined): readonly string[] {
  const urls: string[] = [];
  for (let hop = stack; hop !== undefined; hop = hop.parent) {
    urls.push(...hop.callFrames.map(({ url }) => url));
  }
  return urls;
}

/** The files that any of the ways passes. */
export function filesOf(ways: readonly Way[]): readonly string[] {
  return [...new Set(ways.flatMap(({ files }) => files))];
}

/** Those ways that come back into a file that they have passed. */
export function stepsBack(ways: readonly Way[]): readonly string[] {
  return ways
    .filter(({ files }) => new Set(files).size < files.length)
    .map(({ call, files }) => `${files.join(' > ')} > ${call}`);
}
