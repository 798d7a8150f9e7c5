import {
  closeSync,
  existsSync,
  type FSWatcher,
  fstatSync,
  openSync,
  readSync,
  statSync,
  watch,
} from 'node:fs';
import path from 'node:path';
import { waitUntil } from '../core/wait-until.ts';
import { type ConsoleLine, parseConsoleLine } from './console-lines.ts';

export interface Heartbeat {
  readonly count: number;
  /** `performance.now()` when the host read it. */
  readonly atMs: number;
  /** Rewrites of memory that the guest has done so far. */
  readonly rewrites: number;
}

const CHUNK_BYTES = 64 * 1024;

/**
 * Reads a demo guest's console log from its present end as it grows, across rotation. What the log holds already
 * is not looked at; a log that is not there yet may appear later, its folder must be there.
 */
export class ConsoleWatcher implements Disposable {
  readonly heartbeats: Heartbeat[] = [];
  /** Host times at which the guest finished checking all its memory. */
  readonly passes: number[] = [];
  /** Host times at which the guest finished checking all its disk. */
  readonly diskPasses: number[] = [];
  /** Panics, and pages and blocks found bad. */
  readonly alarms: string[] = [];
  /** The highest count of bad pages that the guest reported. */
  bad = 0;
  /** The same of blocks of its disk. */
  diskBad = 0;
  ready = false;
  /** The count at which the guest powered itself off. */
  powerOff: number | undefined;
  /** What came first up to its line end: at a migration's destination the end of a line begun at the source. */
  firstPiece: { readonly text: string; readonly atMs: number } | undefined;
  /** A line begun and not ended. */
  remainder = '';
  readonly #file: string;
  readonly #watcher: FSWatcher;
  readonly #buffer = Buffer.alloc(CHUNK_BYTES);
  #descriptor: number | undefined;
  #offset = 0;

  constructor(file: string) {
    this.#file = file;
    if (existsSync(file)) this.#offset = statSync(file).size;
    this.#open();
    this.#watcher = watch(path.dirname(file), () => {
      this.read();
    });
  }

  /** Waits until the guest has said what the check looks for. */
  async waitFor(
    what: string,
    timeoutMs: number,
    check: () => boolean,
    signal: AbortSignal,
  ): Promise<void> {
    await waitUntil(
      what,
      timeoutMs,
      () => {
        this.read();
        return check();
      },
      signal,
    );
  }

  /** Takes in what the log holds by now; happens by itself when it grows. */
  read(): void {
    this.#readOpen();
    if (!this.#isRotated()) return;
    // virtlogd has moved the file away; its successor starts anew.
    this.#close();
    this.#offset = 0;
    this.#open();
    this.#readOpen();
  }

  [Symbol.dispose](): void {
    this.#watcher.close();
    this.#close();
  }

  #readOpen(): void {
    if (this.#descriptor === undefined) this.#open();
    if (this.#descriptor === undefined) return;
    for (;;) {
      const size = readSync(this.#descriptor, this.#buffer, 0, CHUNK_BYTES, this.#offset);
      if (size === 0) return;
      this.#offset += size;
      this.#take(this.#buffer.toString('latin1', 0, size));
    }
  }

  #take(text: string): void {
    const atMs = performance.now();
    const lines = (this.remainder + text).split('\n');
    this.remainder = lines.pop() ?? '';
    for (const line of lines) {
      this.firstPiece ??= { text: line, atMs };
      this.#takeLine(parseConsoleLine(line), atMs);
    }
  }

  #takeLine(line: ConsoleLine, atMs: number): void {
    if (line.kind === 'heartbeat') {
      this.heartbeats.push({ count: line.count, atMs, rewrites: line.rewrites });
    } else if (line.kind === 'verify') {
      this.passes.push(atMs);
    } else if (line.kind === 'disk') {
      this.diskPasses.push(atMs);
      this.diskBad = Math.max(this.diskBad, line.diskBad);
    } else if (line.kind === 'alarm') {
      this.alarms.push(line.text);
    } else if (line.kind === 'ready') {
      this.ready = true;
    } else if (line.kind === 'power-off') {
      this.powerOff = line.count;
    }
    if ('bad' in line) this.bad = Math.max(this.bad, line.bad);
  }

  #isRotated(): boolean {
    if (this.#descriptor === undefined || !existsSync(this.#file)) return false;
    return fstatSync(this.#descriptor).ino !== statSync(this.#file).ino;
  }

  #open(): void {
    if (existsSync(this.#file)) this.#descriptor = openSync(this.#file, 'r');
  }

  #close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}
