import { Socket } from 'node:net';
import koffi from 'koffi';
import { nativeFile } from '../../core/sibling-module.ts';
import { copyMemory, readText } from './c-memory.ts';

/*
 * Threads that make C calls which block, by call-threads.c. A Worker could do it too, and would be a JavaScript of its own of 9 MiB;
 * and Node's own threads are few, and everybody's.
 */

/** The error of a call, read in the thread that has made it. */
export interface NativeError {
  readonly code: number;
  /** errno for system errors. */
  readonly number: number;
  readonly message: string;
}

export interface NativeResult {
  readonly word: bigint;
  readonly error: NativeError | undefined;
  /** The call, with what the function has written into it. */
  readonly call: Buffer;
}

/** What libvirt reports by itself. */
export interface NativeEvent {
  readonly id: number;
  /** The connection that it came by. */
  readonly connection: bigint;
  readonly uid: string;
  readonly detail: readonly [number, number];
  /** A copy of what it brings with it. */
  readonly body: Buffer;
}

/** The C functions that events are given to, by what these bring with them. */
export type EventHandlerName =
  | 'on_close'
  | 'on_lifecycle'
  | 'on_domain'
  | 'on_number'
  | 'on_text'
  | 'on_number_and_text'
  | 'on_text_and_number'
  | 'on_parameters';

export interface CallThreadsOptions {
  /** Addresses of libvirt's functions. */
  readonly resetLastError: bigint;
  readonly getLastError: bigint;
  readonly getUuid: bigint;
  readonly runEventLoop: bigint;
  readonly onEvent: (event: NativeEvent) => void;
  /** libvirt's event loop has ended, which it never should. */
  readonly onLoopFailed: (message: string) => void;
}

/** Built from native/call-threads. */
const LIBRARY = nativeFile(import.meta.url, 'call-threads.so', '../../../dist/agent');

/** struct record in call-threads.c, as far as it is read. */
const RECORD_BYTES = 128;
const RECORD = {
  kind: 0,
  id: 8,
  result: 16,
  errorCode: 24,
  errorNumber: 32,
  errorMessage: 40,
  body: 48,
  bodyBytes: 56,
  connection: 64,
  detail: [72, 80],
  uuid: 88,
} as const;
const KINDS = ['call', 'event', 'loop-failed'] as const;
const UUID_CHARACTERS = 36;

/** All threads of this process. There may be one of these in a process. */
export class CallThreads {
  readonly #options: CallThreadsOptions;
  readonly #library = koffi.load(LIBRARY);
  readonly #start = this.#library.func('void *call_threads_start()');
  readonly #submit = this.#library.func(
    'int call_threads_submit(void *thread, uint64_t id, const void *request, uint64_t bytes)',
  );
  readonly #end = this.#library.func('void call_threads_end(void *thread)');
  readonly #take = this.#library.func('void *call_threads_take()');
  readonly #release = this.#library.func('void call_threads_release(void *record)');
  readonly #wakes: Socket;
  readonly #waiting = new Map<number, (result: NativeResult) => void>();
  #lastId = 0;

  constructor(options: CallThreadsOptions) {
    this.#options = options;
    const open = this.#library.func(
      'int call_threads_open(void *reset_error, void *last_error, void *uuid_of, void *event_loop)',
    );
    const { resetLastError, getLastError, getUuid, runEventLoop } = options;
    const fd = open(resetLastError, getLastError, getUuid, runEventLoop) as number;
    if (fd < 0) throw new Error('Cannot open a pipe');
    // A pipe is read by Node's event loop itself, by none of its threads.
    this.#wakes = new Socket({ fd, readable: true, writable: false });
    this.#wakes.on('data', () => this.#takeAll()).unref();
  }

  /** The address of what is to be registered for an event. */
  handler(name: EventHandlerName): bigint {
    return this.#library.symbol(`call_threads_${name}`);
  }

  runEvents(): void {
    const run = this.#library.func('int call_threads_run_events()');
    if ((run() as number) !== 0) throw new Error("Cannot start the thread of libvirt's events");
  }

  start(): CallThread {
    const pointer = this.#start() as bigint | null;
    if (pointer === null) throw new Error('Cannot start a thread');
    return new CallThread(
      (call) => this.#call(pointer, call),
      () => this.#end(pointer),
    );
  }

  #call(thread: bigint, call: Buffer): Promise<NativeResult> {
    this.#lastId += 1;
    const id = this.#lastId;
    const { promise, resolve } = Promise.withResolvers<NativeResult>();
    this.#waiting.set(id, resolve);
    if ((this.#submit(thread, id, call, call.length) as number) !== 0) {
      this.#waiting.delete(id);
      throw new Error('Cannot hand a call to its thread');
    }
    // The process lives on for calls, not for events.
    this.#wakes.ref();
    return promise;
  }

  #takeAll(): void {
    for (;;) {
      const pointer = this.#take() as bigint | null;
      if (pointer === null) return;
      try {
        this.#receive(copyMemory(pointer, RECORD_BYTES));
      } finally {
        this.#release(pointer);
      }
    }
  }

  #receive(record: Buffer): void {
    const id = Number(record.readBigUInt64LE(RECORD.id));
    const body = copyMemory(
      record.readBigUInt64LE(RECORD.body),
      Number(record.readBigUInt64LE(RECORD.bodyBytes)),
    );
    switch (KINDS[Number(record.readBigUInt64LE(RECORD.kind))]) {
      case 'call': {
        const resolve = this.#waiting.get(id);
        this.#waiting.delete(id);
        if (this.#waiting.size === 0) this.#wakes.unref();
        const word = record.readBigUInt64LE(RECORD.result);
        resolve?.({ word, error: errorOf(record), call: body });
        break;
      }
      case 'event': {
        const uid = record.toString('latin1', RECORD.uuid, RECORD.uuid + UUID_CHARACTERS);
        const [first, second] = RECORD.detail.map((at) => Number(record.readBigInt64LE(at)));
        const connection = record.readBigUInt64LE(RECORD.connection);
        this.#options.onEvent({ id, connection, uid, detail: [first ?? 0, second ?? 0], body });
        break;
      }
      default:
        this.#options.onLoopFailed(errorOf(record)?.message ?? 'It gave no reason');
    }
  }
}

/** One thread, which makes one call at a time. */
export class CallThread {
  readonly #call: (call: Buffer) => Promise<NativeResult>;
  readonly #end: () => void;
  #isEnded = false;

  constructor(call: (call: Buffer) => Promise<NativeResult>, end: () => void) {
    this.#call = call;
    this.#end = end;
  }

  /** The error of the latest call; undefined if it had none. */
  lastError: NativeError | undefined;

  async call(call: Buffer): Promise<NativeResult> {
    if (this.#isEnded) throw new Error('The thread has ended');
    const result = await this.#call(call);
    this.lastError = result.error;
    return result;
  }

  /** It ends after its call, if it makes one. */
  end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#end();
  }
}

function errorOf(record: Buffer): NativeError | undefined {
  const message = record.readBigUInt64LE(RECORD.errorMessage);
  if (message === 0n) return undefined;
  return {
    code: Number(record.readBigInt64LE(RECORD.errorCode)),
    number: Number(record.readBigInt64LE(RECORD.errorNumber)),
    message: readText(message),
  };
}
