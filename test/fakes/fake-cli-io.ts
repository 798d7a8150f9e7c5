import type { CliIo, CliOutput } from '../../src/cli/process/cli-io.ts';

/** Remembers what is written to it. */
export class FakeOutput implements CliOutput {
  readonly isTTY: boolean;
  readonly columns = 120;
  text = '';

  constructor({ isTTY = false }: { readonly isTTY?: boolean } = {}) {
    this.isTTY = isTTY;
  }

  write(data: string | Uint8Array): void {
    this.text += typeof data === 'string' ? data : Buffer.from(data).toString();
  }
}

/** A command's world without a process. */
export class FakeCliIo implements CliIo {
  readonly stdout = new FakeOutput();
  readonly stderr: FakeOutput;
  readonly env: Record<string, string | undefined> = {};
  readonly signal: AbortSignal;
  stdin = '';

  constructor(options: { readonly isTTY?: boolean; readonly signal?: AbortSignal } = {}) {
    this.stderr = new FakeOutput(options);
    this.signal = options.signal ?? new AbortController().signal;
  }

  async readStdin(): Promise<string> {
    return this.stdin;
  }
}
