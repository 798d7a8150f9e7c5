/** Reads what guests wrote to their consoles. */
export interface ConsoleReader {
  /**
   * What is kept of a console, oldest first, in pieces of at most 64 KiB; with `follow` goes on with new output
   * until aborted. A log that is not there yet is empty.
   */
  read(
    path: string,
    options: { readonly tailBytes: number; readonly follow: boolean },
    signal: AbortSignal,
  ): AsyncIterable<Uint8Array>;
}
