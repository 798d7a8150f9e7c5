import type { Duplex } from 'node:stream';
import { AgentError } from '../../core/errors.ts';
import { BytePace } from './byte-pace.ts';
import { PacedWriter } from './byte-stream.ts';
import type { ConsoleMode } from './console.ts';
import { ConsoleSeat } from './console-seat.ts';

export interface SerialConsoleOptions {
  /** What users call the VM. */
  readonly name: string;
  readonly vmUid: string;
  /**
   * The stream has ended: gives the one that goes on with it, undefined where the VM is off or no longer here. Fails where it
   * cannot be had again.
   */
  readonly reopen: () => Promise<Duplex | undefined>;
  /** Nobody has it open any more, or it has ended. */
  readonly onClosed: () => void;
}

/** The serial console of one VM, which any number see and one types on. */
export class SerialConsole {
  readonly #options: SerialConsoleOptions;
  readonly #seats = new Set<ConsoleSeat>();
  readonly #typing = new PacedWriter();
  readonly #pace = new BytePace();
  #stream: Duplex | undefined;
  #writer: ConsoleSeat | undefined;
  #resumes: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(stream: Duplex, options: SerialConsoleOptions) {
    this.#options = options;
    this.#attach(stream);
  }

  get size(): number {
    return this.#seats.size;
  }

  get writer(): string | undefined {
    return this.#writer?.who;
  }

  /** Fails with CONSOLE_IN_USE if another types and is not to be taken the console from. */
  join(who: string, mode: ConsoleMode): ConsoleSeat {
    if (mode === 'write' && this.#writer !== undefined) throw this.#inUse(this.#writer);
    const seat = new ConsoleSeat(who, { isReader: mode === 'read' });
    this.#seats.add(seat);
    if (mode === 'read') return seat;
    this.#writer?.tell({ kind: 'taken-over', by: who });
    this.#writer = seat;
    return seat;
  }

  leave(seat: ConsoleSeat): void {
    if (!this.#seats.delete(seat)) return;
    if (this.#writer === seat) this.#writer = undefined;
    if (this.#seats.size === 0) this.#close(undefined);
  }

  /** Nobody came for whom it was opened. */
  closeIfUnused(): void {
    if (this.#seats.size === 0) this.#close(undefined);
  }

  async type(seat: ConsoleSeat, data: Uint8Array, signal: AbortSignal): Promise<void> {
    if (this.#writer === seat) await this.#typing.write(this.#stream, data, signal);
  }

  #attach(stream: Duplex): void {
    this.#stream = stream;
    stream.on('data', (data: Buffer) => {
      for (const seat of this.#seats) seat.put(data);
      const waitMs = this.#pace.take(data.length);
      if (waitMs === 0) return;
      stream.pause();
      this.#resumes = setTimeout(() => stream.resume(), waitMs);
    });
    stream.on('end', () => stream.destroy());
    stream.once('close', () => {
      if (this.#stream === stream) this.#onLost();
    });
  }

  #onLost(): void {
    this.#stream = undefined;
    clearTimeout(this.#resumes);
    if (this.#isClosed) return;
    this.#options.reopen().then(
      (stream) => {
        if (stream === undefined) this.#close(undefined);
        else if (this.#isClosed) stream.destroy();
        else this.#attach(stream);
      },
      (error: Error) => this.#close(error),
    );
  }

  #close(error: Error | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#resumes);
    this.#stream?.destroy();
    for (const seat of this.#seats) seat.end(error);
    this.#options.onClosed();
  }

  #inUse({ who }: ConsoleSeat): AgentError {
    const { name, vmUid } = this.#options;
    return new AgentError(
      'CONSOLE_IN_USE',
      `Cannot open the console of ${name} to type: ${who} types on it; read along, or take it over`,
      { metadata: { vmId: vmUid, writer: who } },
    );
  }
}
