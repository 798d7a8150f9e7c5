import { ConsoleMode, type ConsoleOpened, type OpenConsoleResponse } from '../../client/api.ts';
import type { ConsoleCalls, OpenedCall } from '../../client/console-calls.ts';
import { resume } from '../../client/resume.ts';
import type { VmRefInput } from '../../client/vm-calls.ts';
import type { EscapeKey } from '../input/escape-key.ts';
import type { CliIo, Keyboard } from '../process/cli-io.ts';

export interface ConsoleSessionOptions {
  readonly io: CliIo;
  readonly consoles: Pick<ConsoleCalls, 'open'>;
  readonly ref: VmRefInput;
  readonly mode: 'read' | 'write' | 'take-over';
  readonly scrollbackBytes: number;
  readonly escape: EscapeKey;
  /** Types it, for the shell that runs there. */
  readonly tellsSize: boolean;
  readonly onOpened: (opened: ConsoleOpened) => void;
}

export type SessionEnd = 'escaped' | 'ended' | 'output-closed';

const MODES = {
  read: ConsoleMode.CONSOLE_MODE_READ,
  write: ConsoleMode.CONSOLE_MODE_WRITE,
  'take-over': ConsoleMode.CONSOLE_MODE_TAKE_OVER,
} as const;

/** An agent that is started again is back by then. */
const RECONNECT_PATIENCE_MS = 60_000;

/** The terminal of this process on the console of a VM. */
export class ConsoleSession {
  readonly #options: ConsoleSessionOptions;
  #call: OpenedCall<OpenConsoleResponse> | undefined;
  #mode: ConsoleSessionOptions['mode'];
  #wasOpened = false;

  constructor(options: ConsoleSessionOptions) {
    this.#options = options;
    this.#mode = options.mode;
  }

  /** Returns when the user has had enough of it or the console has ended; fails as the call does. */
  async run(signal: AbortSignal): Promise<SessionEnd> {
    const over = new AbortController();
    const until = AbortSignal.any([signal, over.signal]);
    using keyboard = new LazyKeyboard(this.#options.io);
    const escaped = Promise.withResolvers<SessionEnd>();
    const begin = (): void => {
      this.#type(keyboard.open(), () => escaped.resolve('escaped')).catch(escaped.reject);
    };
    try {
      return await Promise.race([this.#show(begin, keyboard, until), escaped.promise]);
    } finally {
      over.abort();
    }
  }

  async #show(begin: () => void, keyboard: LazyKeyboard, signal: AbortSignal): Promise<SessionEnd> {
    const { io } = this.#options;
    const onLost = () => this.#note('the connection to the agent is lost, trying to get it back');
    const options = { signal, onLost, patienceMs: RECONNECT_PATIENCE_MS };
    for await (const response of resume(() => this.#open(signal), options)) {
      if (response === undefined) return 'ended';
      switch (response.$case) {
        case 'opened':
          this.#onOpened(response.value, begin, keyboard);
          break;
        case 'output':
          io.stdout.write(response.value);
          break;
        case 'leftOutBytes':
          this.#note(`${response.value} bytes of output were left out`);
          break;
        default:
          this.#mode = 'read';
          this.#note(`${response.value.identity} types now; what is typed here is not sent`);
      }
      if (io.stdout.fault !== undefined) return 'output-closed';
    }
    return 'ended';
  }

  /** At its end gives undefined, by which an end is told from a loss. */
  async *#open(
    signal: AbortSignal,
  ): AsyncGenerator<OpenConsoleResponse['response'], void, undefined> {
    const { consoles, ref, scrollbackBytes } = this.#options;
    this.#call = consoles.open(ref, {
      signal,
      mode: MODES[this.#mode],
      scrollbackBytes: this.#wasOpened ? 0 : scrollbackBytes,
    });
    for await (const { response } of this.#call.responses) {
      if (response !== undefined) yield response;
    }
    yield undefined;
  }

  #onOpened(opened: ConsoleOpened, begin: () => void, keyboard: LazyKeyboard): void {
    if (this.#wasOpened) {
      this.#note('connected again');
      return;
    }
    this.#wasOpened = true;
    // Whoever has once taken it over does not take it again from whom has done the same since.
    if (this.#mode === 'take-over') this.#mode = 'write';
    this.#options.onOpened(opened);
    begin();
    if (!this.#options.tellsSize) return;
    const tell = () => void this.#tellSize(keyboard);
    keyboard.open().onResize(tell);
    tell();
  }

  async #tellSize(keyboard: LazyKeyboard): Promise<void> {
    const size = keyboard.open().size();
    if (size === undefined || this.#mode === 'read') return;
    await this.#call?.send(Buffer.from(`stty rows ${size.rows} cols ${size.columns}\r`));
  }

  async #type({ isTTY, input }: Keyboard, onEscape: () => void): Promise<void> {
    const { byte } = this.#options.escape;
    for await (const data of input) {
      const end = isTTY && byte !== undefined ? data.indexOf(byte) : -1;
      const typed = end < 0 ? data : data.subarray(0, end);
      if (typed.length > 0 && this.#mode !== 'read') await this.#call?.send(typed);
      if (end >= 0) return onEscape();
    }
  }

  /** In the terminal's way of lines: it has none of its own just now. */
  #note(text: string): void {
    this.#options.io.stderr.write(`\r\n[${text}]\r\n`);
  }
}

/** Opened once the console is: until then the terminal is as usual, Ctrl-C included. */
class LazyKeyboard implements Disposable {
  readonly #io: CliIo;
  #keyboard: Keyboard | undefined;

  constructor(io: CliIo) {
    this.#io = io;
  }

  open(): Keyboard {
    this.#keyboard ??= this.#io.openKeyboard();
    return this.#keyboard;
  }

  [Symbol.dispose](): void {
    this.#keyboard?.[Symbol.dispose]();
  }
}
