import { addAbortListener, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { LabError } from '../../core/project.ts';

const SYNC_INTERVAL_MS = 1_000;
/** To ask costs an emulated CPU time as well. */
const [FIRST_POLL_MS, LAST_POLL_MS] = [50, 1_000];

interface Answer {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

interface Execution {
  readonly exited: boolean;
  readonly exitcode?: number;
  readonly 'out-data'?: string;
  readonly 'err-data'?: string;
}

/** What a command in the guest came to. */
export interface GuestResult {
  /** A command killed by a signal counts as 128, one that took too long as 124. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Asks the QEMU guest agent in a machine, one request at a time. Aborting a request ends the connection. */
export class GuestAgent implements Disposable {
  readonly #socket: Socket;
  readonly #lines: AsyncIterator<string>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#lines = createInterface(socket)[Symbol.asyncIterator]();
    // Whoever reads its lines hears of it.
    socket.on('error', () => undefined);
  }

  /** Connects to the machine's end of the agent's port and waits until the guest answers. */
  static async connect(path: string, signal: AbortSignal): Promise<GuestAgent> {
    const socket = connect(path);
    try {
      await once(socket, 'connect', { signal });
      const agent = new GuestAgent(socket);
      await agent.#synchronize(signal);
      return agent;
    } catch (error) {
      socket.destroy();
      throw error;
    }
  }

  /** Runs a script as root's own shell does, for at most as long as given, reading `input`. */
  async run(
    script: string,
    options: { readonly timeoutMs: number; readonly input?: string },
    signal: AbortSignal,
  ): Promise<GuestResult> {
    const limit = String(Math.ceil(options.timeoutMs / 1_000));
    const request = {
      path: '/usr/bin/timeout',
      arg: ['--kill-after=10', limit, '/bin/bash', '--login', '-c', script],
      env: ['HOME=/root', 'USER=root', 'LANG=C.UTF-8', 'TERM=dumb'],
      'input-data': Buffer.from(options.input ?? '').toString('base64'),
      'capture-output': true,
    };
    const { pid } = (await this.#ask('guest-exec', request, signal)) as { readonly pid: number };
    for (let delayMs = FIRST_POLL_MS; ; delayMs = Math.min(2 * delayMs, LAST_POLL_MS)) {
      const state = (await this.#ask('guest-exec-status', { pid }, signal)) as Execution;
      if (state.exited) return toResult(state);
      await sleep(delayMs, undefined, { signal });
    }
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #ask(command: string, parameters: object, signal: AbortSignal): Promise<unknown> {
    this.#send(command, parameters);
    const answer = await this.#receive(signal);
    if (answer.error === undefined) return answer.return;
    throw new LabError(`The guest agent cannot do ${command}: ${answer.error.desc}`);
  }

  /** What is said before the guest listens may be answered later, or never. */
  async #synchronize(signal: AbortSignal): Promise<void> {
    let last = 0;
    const say = (): void => {
      last += 1;
      this.#send('guest-sync', { id: last });
    };
    say();
    const timer = setInterval(say, SYNC_INTERVAL_MS);
    try {
      let answer = await this.#receive(signal);
      clearInterval(timer);
      while (answer.return !== last) answer = await this.#receive(signal);
    } finally {
      clearInterval(timer);
    }
  }

  #send(command: string, parameters: object): void {
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters })}\n`);
  }

  async #receive(signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted();
    using _stop = addAbortListener(signal, () => this.#socket.destroy());
    const { done, value } = await this.#lines.next();
    signal.throwIfAborted();
    if (done === true) throw new LabError('The connection to the guest agent has ended');
    return JSON.parse(value) as Answer;
  }
}

function toResult(state: Execution): GuestResult {
  return {
    code: state.exitcode ?? 128,
    stdout: decode(state['out-data']),
    stderr: decode(state['err-data']),
  };
}

function decode(data = ''): string {
  return Buffer.from(data, 'base64').toString();
}
