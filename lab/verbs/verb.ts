/** One word after `./dev`. */
export interface Verb {
  readonly name: string;
  /** Its arguments as the help shows them. */
  readonly usage: string;
  readonly summary: string;
  /** Gives the exit code. */
  readonly run: (args: readonly string[], signal: AbortSignal) => Promise<number>;
}
