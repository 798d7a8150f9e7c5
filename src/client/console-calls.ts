import {
  type ConsoleMode,
  ConsoleServiceService,
  GetScreenshotRequest,
  type GetScreenshotResponse,
  OpenConsoleRequest,
  type OpenConsoleResponse,
  OpenDisplayRequest,
  type OpenDisplayResponse,
  SendKeysRequest,
} from '../gen/novacron/agent/v1/console.ts';
import type { CallOptions, Connection, DuplexCall, StreamOptions } from './connection.ts';
import type { VmRefInput } from './vm-calls.ts';

/** Of what is sent in one message. */
const MAX_PIECE_BYTES = 64 * 1024;

/** What a caller sends bytes to and receives from. */
export interface OpenedCall<Response> {
  /** To be iterated once; the first says that it is open. */
  readonly responses: AsyncGenerator<Response, void, undefined>;
  /** Returns once there is room for more. */
  send(data: Uint8Array): Promise<void>;
  endSending(): void;
}

export interface OpenConsoleOptions extends StreamOptions {
  readonly mode: ConsoleMode;
  /** So much of what was written before comes first; 0 to 1 MiB, default 0. */
  readonly scrollbackBytes?: number | undefined;
}

/** The calls of ConsoleService. */
export class ConsoleCalls {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** The first serial console of a VM, both ways. */
  open(ref: VmRefInput, options: OpenConsoleOptions): OpenedCall<OpenConsoleResponse> {
    const { mode, scrollbackBytes = 0, ...stream } = options;
    const call = this.#connection.duplex(ConsoleServiceService.openConsole, stream);
    const request = { $case: 'start', value: { ref, mode, scrollbackBytes } } as const;
    void call.send(OpenConsoleRequest.fromPartial({ request }));
    return sending(call, (value) => ({ request: { $case: 'input' as const, value } }));
  }

  /** A connection to the VNC server of a VM. */
  openDisplay(ref: VmRefInput, options: StreamOptions): OpenedCall<OpenDisplayResponse> {
    const call = this.#connection.duplex(ConsoleServiceService.openDisplay, options);
    void call.send(OpenDisplayRequest.fromPartial({ request: { $case: 'ref', value: ref } }));
    return sending(call, (value) => ({ request: { $case: 'data' as const, value } }));
  }

  getScreenshot(ref: VmRefInput, options: CallOptions): Promise<GetScreenshotResponse> {
    return this.#connection.unary(
      ConsoleServiceService.getScreenshot,
      GetScreenshotRequest.fromPartial({ ref }),
      options,
    );
  }

  /** Presses keys at the same time; see SendKeysRequest for their names. */
  async sendKeys(ref: VmRefInput, keys: readonly string[], options: CallOptions): Promise<void> {
    await this.#connection.unary(
      ConsoleServiceService.sendKeys,
      SendKeysRequest.fromPartial({ ref, keys: [...keys] }),
      options,
    );
  }
}

function sending<Request, Response>(
  call: DuplexCall<Request, Response>,
  toRequest: (data: Buffer) => Request,
): OpenedCall<Response> {
  return {
    responses: call.responses,
    async send(data) {
      for (let at = 0; at < data.length; at += MAX_PIECE_BYTES) {
        await call.send(toRequest(Buffer.from(data.subarray(at, at + MAX_PIECE_BYTES))));
      }
    },
    endSending: () => call.endSending(),
  };
}
