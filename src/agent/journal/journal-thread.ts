import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { AgentError } from '../../core/errors.ts';
import type { StatementRunner } from './journal-database.ts';
import {
  type FromJournalThread,
  fromFailure,
  type JournalSettings,
  type PerformOptions,
  type ReplacedJournal,
  type Statement,
  type StatementResult,
  type ToJournalThread,
} from './journal-protocol.ts';

interface Waiting {
  readonly resolve: (results: readonly StatementResult[]) => void;
  readonly reject: (error: unknown) => void;
  readonly sinceMs: number;
}

/** How the journal was found. */
interface Opening {
  readonly replaced: ReplacedJournal | undefined;
  /** Why nothing can be written yet; undefined if it can. */
  readonly failure: AgentError | undefined;
}

/** The agent's end of the thread that has the journal. */
export class JournalThread implements StatementRunner, AsyncDisposable {
  readonly #worker: Worker;
  readonly #opened = Promise.withResolvers<Opening>();
  /** In the order of the calls, which is the order of the answers. */
  readonly #waiting = new Map<number, Waiting>();
  readonly #lost = new AbortController();
  #lastId = 0;
  #shortage: AgentError | undefined;
  #closed: Promise<unknown> | undefined;

  private constructor(settings: JournalSettings, worker: Worker) {
    this.#worker = worker;
    worker.ref();
    this.#worker.on('message', (message: FromJournalThread) => this.#hear(message));
    this.#worker.on('error', (error) => this.#lose(error));
    this.#worker.on('exit', () => this.#lose(undefined));
    this.#tell({ kind: 'open', settings });
  }

  /** In `worker`, which nothing was asked of before. Fails as `openJournalFile` does. */
  static async open(
    settings: JournalSettings,
    worker: Worker,
  ): Promise<{ readonly thread: JournalThread } & Opening> {
    const thread = new JournalThread(settings, worker);
    try {
      return { thread, ...(await thread.#opened.promise) };
    } catch (error) {
      await thread[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Aborted when the thread has ended by itself: nobody knows what became of the last calls. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Since when the oldest call waits, as performance.now() counts; undefined if none does. */
  get waitingSinceMs(): number | undefined {
    const [oldest] = this.#waiting.values();
    return oldest?.sinceMs;
  }

  get shortage(): AgentError | undefined {
    return this.#shortage;
  }

  async perform(
    statements: readonly Statement[],
    options: PerformOptions = {},
  ): Promise<readonly StatementResult[]> {
    if (this.#closed !== undefined) throw new AgentError('SHUTTING_DOWN', 'The journal is closed');
    this.#lost.signal.throwIfAborted();
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<readonly StatementResult[]>();
    this.#waiting.set(id, { resolve, reject, sinceMs: performance.now() });
    this.#tell({ kind: 'perform', id, statements, options });
    return promise;
  }

  /** Calls that were made before are carried out. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    if (this.#worker.threadId === -1) return;
    const exited = once(this.#worker, 'exit').catch(() => undefined);
    this.#tell({ kind: 'close' });
    await exited;
  }

  #tell(message: ToJournalThread): void {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a Worker, no window
    this.#worker.postMessage(message);
  }

  #hear(message: FromJournalThread): void {
    switch (message.kind) {
      case 'opened':
        this.#opened.resolve({
          replaced: message.replaced,
          failure: message.failure && fromFailure(message.failure),
        });
        break;
      case 'refused':
        this.#opened.reject(fromFailure(message.failure));
        break;
      case 'results':
        this.#shortage = message.shortage && fromFailure(message.shortage);
        this.#take(message.id)?.resolve(message.results);
        break;
      default:
        this.#take(message.id)?.reject(fromFailure(message.failure));
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  #lose(cause: unknown): void {
    const error = new AgentError('JOURNAL_FAILURE', "The journal's thread has ended", { cause });
    if (this.#closed === undefined) this.#lost.abort(error);
    this.#opened.reject(error);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
