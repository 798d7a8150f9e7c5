export interface ConsoleReadOptions {
  /** Only the last so many bytes; 0 means all that is kept. */
  readonly tailBytes: number;
  readonly followUntil: AbortSignal | undefined;
}

/** Reads what guests wrote to their consoles. */
export interface ConsoleReader {
  /**
   * What is kept of a console, oldest first, in pieces of at most 64 KiB; with `followUntil` goes on with new output
   * until that is aborted, and gives what was written before. A log that is not there yet is empty.
   */
  read(path: string, options: ConsoleReadOptions, signal: AbortSignal): AsyncIterable<Uint8Array>;
}
