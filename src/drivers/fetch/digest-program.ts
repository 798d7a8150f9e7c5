import { AgentError } from '../../core/errors.ts';
import { nativeFile } from '../../core/sibling-module.ts';
import { type ChildEnd, ChildProgram, untilEnd } from './child-program.ts';

const PROGRAM = nativeFile(import.meta.url, 'novacron-digest', '../../../dist/agent');
const FULL = 2;
const NOT_THERE = 127;

export interface FileDigest {
  readonly bytes: number;
  /** SHA-256 in hex. */
  readonly digest: string;
}

/** Reads a file while it is written (native/digest). */
export class DigestProgram implements AsyncDisposable {
  readonly #child: ChildProgram;
  readonly #file: string;
  readonly #broken = new AbortController();
  #unread = '';
  #last: FileDigest | undefined;
  #isAtEnd = false;

  /** `onBytes` is told about twice a second how many are read. */
  constructor(file: string, onBytes: (bytes: number) => void) {
    this.#file = file;
    this.#child = new ChildProgram([PROGRAM, file], {
      onOutput: (chunk) => {
        const lines = (this.#unread + chunk.toString()).split('\n');
        this.#unread = lines.pop() ?? '';
        for (const line of lines) onBytes(this.#read(line));
      },
    });
    void this.#child.ended.then((end) => {
      if (!this.#isAtEnd) this.#broken.abort(this.#failureOf(end));
    });
  }

  /** Aborted, with the error, if it ends before the file does: there is no use in writing on. */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  /** Nothing more is written: once all is read, and on the disk. */
  async finish(signal: AbortSignal): Promise<FileDigest> {
    this.#isAtEnd = true;
    this.#child.endInput();
    const end = await untilEnd(this.#child, signal);
    if (end.code === 0 && this.#last !== undefined) return this.#last;
    throw this.#failureOf(end);
  }

  #read(line: string): number {
    const [bytes, digest] = line.split(' ');
    if (digest !== undefined) this.#last = { bytes: Number(bytes), digest };
    return Number(bytes);
  }

  #failureOf({ code, complaint }: ChildEnd): AgentError {
    const said = complaint.trim();
    if (code === FULL) {
      const text = `Cannot write ${this.#file}: ${said}; make room on the disk`;
      return new AgentError('STORAGE_FULL', text);
    }
    const text = `Cannot read ${this.#file} while it is written: ${said || `${PROGRAM} ended (${code})`}`;
    const isThere = code !== NOT_THERE;
    return new AgentError('IMAGE_FETCH_FAILED', text, {
      ...(isThere && { metadata: { retryable: 'true' } }),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isAtEnd = true;
    await this.#child[Symbol.asyncDispose]();
  }
}
