import { once } from 'node:events';
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { toAgentError } from './status.ts';
import { type AgentTarget, channelSettings } from './target.ts';

export interface CallOptions {
  readonly signal: AbortSignal;
  /** How long the call may take, 30 s if not given. */
  readonly deadlineMs?: number | undefined;
}

export interface StreamOptions {
  readonly signal: AbortSignal;
}

/** One method of a generated service. */
export interface RpcMethod<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

/** A call that both sides send in. */
export interface DuplexCall<Request, Response> {
  /** To be iterated once; fails as the call does. */
  readonly responses: AsyncGenerator<Response, void, undefined>;
  /** Returns once there is room for more. What is sent after the call has ended is lost, without an error. */
  send(request: Request): Promise<void>;
  endSending(): void;
}

const DEFAULT_DEADLINE_MS = 30_000;

/** How long at the most an agent that is back is taken for one that is not there. */
export const MAX_RECONNECT_MS = 1_000;

const CHANNEL_OPTIONS = {
  // An http_proxy in the environment is not meant for the nodes of a cluster.
  'grpc.enable_http_proxy': 0,
  // What the DNS says of a name is its address, and never how calls are made.
  'grpc.service_config_disable_resolution': 1,
  // Channels to the same agent with other credentials must not share a connection.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': MAX_RECONNECT_MS,
  // A watch on a node that lost its power would otherwise wait for ever.
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  // 1,000 VMs with long annotations still fit.
  'grpc.max_receive_message_length': 64 * 1024 ** 2,
} as const;

/** One gRPC channel. Every failure is an AgentError, or the reason of the caller's own signal. */
export class Connection implements Disposable {
  readonly address: string;
  readonly #client: Client;

  private constructor(address: string, client: Client) {
    this.address = address;
    this.#client = client;
  }

  /** Does not connect yet: the first call does. Fails with INVALID_CONFIG if the certificate cannot be used. */
  static async open(target: AgentTarget): Promise<Connection> {
    const { credentials, options } = await channelSettings(target);
    const client = new Client(target.address, credentials, { ...CHANNEL_OPTIONS, ...options });
    return new Connection(target.address, client);
  }

  async unary<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    { signal, deadlineMs = DEFAULT_DEADLINE_MS }: CallOptions,
  ): Promise<Response> {
    signal.throwIfAborted();
    const answer = Promise.withResolvers<Response>();
    const call = this.#client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
      { deadline: Date.now() + deadlineMs },
      (error, response) => {
        if (error !== null) answer.reject(error);
        else if (response !== undefined) answer.resolve(response);
      },
    );
    const cancel = () => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      return await answer.promise;
    } catch (error) {
      signal.throwIfAborted();
      throw this.#translate(error);
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  async *stream<Request, Response>(
    method: RpcMethod<Request, Response>,
    request: Request,
    { signal }: StreamOptions,
  ): AsyncGenerator<Response, void, undefined> {
    signal.throwIfAborted();
    const call: ClientReadableStream<Response> = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
    );
    // A cancelled call emits one more error after nobody iterates any longer.
    call.on('error', () => undefined);
    const cancel = () => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    try {
      for await (const message of call) yield message as Response;
    } catch (error) {
      signal.throwIfAborted();
      throw this.#translate(error);
    } finally {
      signal.removeEventListener('abort', cancel);
      call.cancel();
    }
  }

  /** A call in which both sides go on sending; it begins at once. Ends with its signal, and when nobody iterates any longer. */
  duplex<Request, Response>(
    method: RpcMethod<Request, Response>,
    { signal }: StreamOptions,
  ): DuplexCall<Request, Response> {
    signal.throwIfAborted();
    const call: ClientDuplexStream<Request, Response> = this.#client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      new Metadata(),
    );
    call.on('error', () => undefined);
    const cancel = () => call.cancel();
    signal.addEventListener('abort', cancel, { once: true });
    const translate = (error: unknown) => this.#translate(error);
    async function* responses(): AsyncGenerator<Response, void, undefined> {
      try {
        for await (const message of call) yield message as Response;
      } catch (error) {
        signal.throwIfAborted();
        throw translate(error);
      } finally {
        signal.removeEventListener('abort', cancel);
        call.cancel();
      }
    }
    return {
      responses: responses(),
      async send(request) {
        if (call.writableEnded || call.destroyed || call.write(request)) return;
        await roomOrEnd(call, signal);
      },
      endSending: () => void call.end(),
    };
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  #translate(error: unknown): unknown {
    return isServiceError(error) ? toAgentError(error, this.address) : error;
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'details' in error && 'code' in error;
}

/** A call that ends takes nothing more, which its responses tell of. */
async function roomOrEnd(call: ClientDuplexStream<never, unknown>, signal: AbortSignal) {
  const over = new AbortController();
  const until = { signal: AbortSignal.any([signal, over.signal]) };
  try {
    await Promise.race(['drain', 'close', 'error'].map((event) => once(call, event, until)));
  } catch {
    // Whoever reads the responses is told.
  } finally {
    over.abort();
  }
}
