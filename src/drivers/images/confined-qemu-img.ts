import { spawn } from 'node:child_process';
import { confinedPlace } from '../../core/confined-place.ts';
import { AgentError } from '../../core/errors.ts';

export interface ConfinedQemuImgOptions {
  /** As it is found in /usr. */
  readonly binary?: string;
  readonly bubblewrap?: string;
}

export interface ConfinedWork {
  /** What of `IN` and `OUT` (core/confined-place.ts) qemu-img is to do. */
  readonly arguments: readonly string[];
  /** The only file of the host's that it can read, but for programs and libraries. */
  readonly source: string;
  /** One that is there, and is written. */
  readonly target?: { readonly path: string; readonly maxBytes: number } | undefined;
}

/** How it has ended. */
export interface ConfinedEnd {
  /** Undefined for one that was killed, as by a limit. */
  readonly status: number | undefined;
  readonly output: string;
  /** The first of it, without qemu-img's name. */
  readonly complaint: string;
}

/** Of addresses, most of which stand for nothing: each thread has a stack. */
const ADDRESS_BYTES = 2 ** 30;
/** The agent itself is hardly ever killed for memory, and what it starts is like it: this is to go before any VM. */
const KILLED_FIRST = 1000;
/** What looking at the largest images takes, and converting them; an endless loop as well. */
const LOOK_CPU_SECONDS = 10 * 60;
const CONVERT_CPU_SECONDS = 2 * 60 * 60;
const MAX_OUTPUT_BYTES = 4 * 2 ** 20;
const MAX_COMPLAINT_BYTES = 4096;

/**
 * Runs qemu-img on a hostile image in a place where nothing else can be read: of the host's files it sees /usr and those two, of its
 * processes, devices and network nothing, and it may do nothing that root may. So whatever names an image has for other files, and
 * whatever it makes qemu-img do, gives it none of them.
 */
export class ConfinedQemuImg {
  readonly #binary: string;
  readonly #bubblewrap: string;

  constructor({ binary = 'qemu-img', bubblewrap = 'bwrap' }: ConfinedQemuImgOptions = {}) {
    this.#binary = binary;
    this.#bubblewrap = bubblewrap;
  }

  /** Fails with FEATURE_NOT_SUPPORTED where no such place can be made. */
  async run(work: ConfinedWork, signal: AbortSignal): Promise<ConfinedEnd> {
    signal.throwIfAborted();
    const limits = [
      `--as=${ADDRESS_BYTES}`,
      `--cpu=${work.target === undefined ? LOOK_CPU_SECONDS : CONVERT_CPU_SECONDS}`,
      `--fsize=${work.target?.maxBytes ?? 0}`,
      '--core=0',
    ];
    const command = ['prlimit', ...limits, '--', this.#binary, ...work.arguments];
    const end = await this.#spawn([...(await confinedPlace(work)), '--', ...command], signal);
    // Each of these says of what it could not do that it was it.
    const failed = /^(choom|bwrap|prlimit): (.*)/.exec(end.complaint);
    if (failed === null || end.status === 0) return end;
    throw new AgentError(
      'FEATURE_NOT_SUPPORTED',
      `Cannot look at images that are not trusted: ${failed[1]}: ${failed[2]}; install bubblewrap, qemu-utils and util-linux on the node, and let the agent make namespaces`,
    );
  }

  async #spawn(given: readonly string[], signal: AbortSignal): Promise<ConfinedEnd> {
    const ended = Promise.withResolvers<number | undefined>();
    const command = ['-n', String(KILLED_FIRST), '--', this.#bubblewrap, ...given];
    const child = spawn('choom', command, {
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
      killSignal: 'SIGKILL',
    });
    const output = collect(MAX_OUTPUT_BYTES);
    const complaint = collect(MAX_COMPLAINT_BYTES);
    child.stdout.on('data', output.add);
    child.stderr.on('data', complaint.add);
    child.on('error', ended.reject);
    child.on('close', (status) => ended.resolve(status ?? undefined));
    try {
      const status = await ended.promise;
      signal.throwIfAborted();
      const said = complaint.text().trim().replaceAll('qemu-img: ', '');
      // As a shell does, bubblewrap says by 128 and more that a signal has ended what it ran.
      const isKilled = status === undefined || status >= KILLED;
      return { status: isKilled ? undefined : status, output: output.text(), complaint: said };
    } catch (error) {
      signal.throwIfAborted();
      throw new AgentError(
        'FEATURE_NOT_SUPPORTED',
        'Cannot look at images that are not trusted: choom cannot be run; install util-linux on the node',
        { cause: error },
      );
    }
  }
}

const KILLED = 128;

/** Takes no more than so many bytes; the rest is read, and dropped. */
function collect(most: number) {
  const chunks: Buffer[] = [];
  let left = most;
  return {
    add: (chunk: Buffer): void => {
      if (left > 0) chunks.push(chunk.subarray(0, left));
      left -= chunk.length;
    },
    text: (): string => Buffer.concat(chunks).toString('utf8'),
  };
}
