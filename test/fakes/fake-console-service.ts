import type {
  ConsoleEvent,
  ConsoleService,
  OpenConsoleOptions,
  OpenedConsole,
  OpenedDisplay,
} from '../../src/agent/consoles/console.ts';
import type { VmRef } from '../../src/agent/vms/vm.ts';
import type { Picture } from '../../src/drivers/hypervisor-consoles.ts';

/** Consoles that say what was typed on them, and end at "bye". */
export class FakeConsoleService implements ConsoleService {
  readonly calls: { readonly method: string; readonly argument: unknown }[] = [];
  /** What a screenshot fails with. */
  failure: Error | undefined;
  readonly #echoes = new Set<Echo>();

  /** How many are open. */
  get open(): number {
    return this.#echoes.size;
  }

  /** All that are open say it. */
  say(text: string): void {
    for (const echo of this.#echoes) echo.put(Buffer.from(text));
  }

  async openConsole(ref: VmRef, options: OpenConsoleOptions): Promise<OpenedConsole> {
    this.calls.push({ method: 'openConsole', argument: { ref, ...options } });
    const echo = this.#open();
    return {
      vm: toVm(ref),
      others: 1,
      otherWriter: options.mode === 'read' ? 'unix:root' : undefined,
      isPaused: false,
      events: (signal) => echo.events(signal),
      type: async (data) => echo.put(data),
      [Symbol.dispose]: () => echo.close(),
    };
  }

  async openDisplay(ref: VmRef): Promise<OpenedDisplay> {
    this.calls.push({ method: 'openDisplay', argument: ref });
    const echo = this.#open();
    return {
      vm: toVm(ref),
      async *read(signal) {
        for await (const event of echo.events(signal))
          if (event.kind === 'output') yield event.data;
      },
      write: async (data) => echo.put(data),
      [Symbol.dispose]: () => echo.close(),
    };
  }

  #open(): Echo {
    const echo: Echo = new Echo(() => this.#echoes.delete(echo));
    this.#echoes.add(echo);
    return echo;
  }

  async takeScreenshot(ref: VmRef): Promise<Picture> {
    this.calls.push({ method: 'takeScreenshot', argument: ref });
    if (this.failure !== undefined) throw this.failure;
    return { width: 2, height: 1, png: Buffer.from('\x89PNG') };
  }

  async sendKeys(ref: VmRef, codes: readonly number[]): Promise<void> {
    this.calls.push({ method: 'sendKeys', argument: { ref, codes } });
  }
}

class Echo {
  readonly #waiting: Uint8Array[] = [];
  readonly #onClose: () => void;
  #changed = Promise.withResolvers<void>();
  #isClosed = false;

  constructor(onClose: () => void) {
    this.#onClose = onClose;
  }

  put(data: Uint8Array): void {
    this.#waiting.push(data);
    this.#changed.resolve();
  }

  close(): void {
    if (!this.#isClosed) this.#onClose();
    this.#isClosed = true;
    this.#changed.resolve();
  }

  async *events(signal: AbortSignal): AsyncGenerator<ConsoleEvent, void, undefined> {
    signal.addEventListener('abort', () => this.#changed.resolve(), { once: true });
    for (;;) {
      signal.throwIfAborted();
      const data = this.#waiting.shift();
      if (data !== undefined) {
        if (Buffer.from(data).toString() === 'bye') return;
        yield { kind: 'output', data };
      } else if (this.#isClosed) {
        return;
      } else {
        this.#changed = Promise.withResolvers();
        await this.#changed.promise;
      }
    }
  }
}

function toVm({ namespace, name, uid }: VmRef): Required<VmRef> {
  return { namespace, name, uid: uid ?? '0b9d3c4e-1111-4222-8333-444455556666' };
}
