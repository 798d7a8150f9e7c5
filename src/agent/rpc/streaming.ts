import { once } from 'node:events';
import type {
  handleBidiStreamingCall,
  handleServerStreamingCall,
  ServerDuplexStream,
  ServerWritableStream,
} from '@grpc/grpc-js';
import { withLogFields } from '../../core/logger.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import { BoundedQueue } from './bounded-queue.ts';
import { type CallContext, OpenCall } from './call-context.ts';
import { logCall, logFirstAnswer } from './call-log.ts';
import type { Calls } from './calls.ts';
import type { Encoded } from './encoded.ts';
import { toStatus } from './status.ts';
import { type RpcMethod, readRequest, writeResponse } from './unary.ts';

export type StreamHandler<Request, Response> = (
  request: Request,
  context: CallContext,
) => AsyncIterable<Response | Encoded>;

/**
 * What happens to a caller that reads slower than there is to send: `expire` ends its stream with
 * WATCH_EXPIRED once too much waits for it, `wait` holds up the source instead.
 */
export type WhenBehind = 'expire' | 'wait';

export type DuplexHandler<Request, Response> = (
  /** Ends when the caller closes its half, and when the call ends. */
  requests: AsyncIterable<Request>,
  context: CallContext,
) => AsyncIterable<Response | Encoded>;

type OutgoingStream = ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>;

/** Leads calls of the gRPC library to a handler that answers with a stream. There is no default deadline. */
export function serverStream<Request, Response>(
  method: RpcMethod<Request, Response>,
  handler: StreamHandler<Request, Response>,
  calls: Calls,
  whenBehind: WhenBehind,
): handleServerStreamingCall<Buffer, Buffer> {
  const send = whenBehind === 'wait' ? sendAll : sendLive;
  return (call) => {
    const answer = (open: OpenCall) => handler(readRequest(method, call.request), open);
    calls.track(run(method, calls, call, answer, send));
  };
}

/** As `serverStream`, for a caller that goes on sending. Neither side is given more than it takes. */
export function duplexStream<Request, Response>(
  method: RpcMethod<Request, Response>,
  handler: DuplexHandler<Request, Response>,
  calls: Calls,
): handleBidiStreamingCall<Buffer, Buffer> {
  return (call) => {
    const answer = (open: OpenCall) => handler(readRequests(method, call, open.signal), open);
    calls.track(run(method, calls, call, answer, sendAll));
  };
}

async function* readRequests<Request>(
  method: RpcMethod<Request, never>,
  call: ServerDuplexStream<Buffer, Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Request, void, undefined> {
  try {
    // Whoever has read all would destroy what is still to be written to otherwise.
    const all = call.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    for await (const bytes of all) yield readRequest(method, bytes);
  } catch (error) {
    // A call that has ended cuts its stream.
    if (!signal.aborted && !call.destroyed && !call.writableEnded) throw error;
  }
}

async function run<Request, Response>(
  method: RpcMethod<Request, Response>,
  calls: Calls,
  call: OutgoingStream,
  answer: (open: OpenCall) => AsyncIterable<Response | Encoded>,
  send: typeof sendAll,
): Promise<void> {
  let open: OpenCall;
  try {
    open = new OpenCall(call, calls.admitted.get(call.metadata), undefined);
  } catch (error) {
    call.emit('error', toStatus(error, AbortSignal.abort(), ''));
    return;
  }
  const { requestId, signal } = open;
  async function* encode(messages: AsyncIterable<Response | Encoded>): AsyncIterable<Buffer> {
    for await (const message of messages) {
      logFirstAnswer(calls, method.path, open);
      yield writeResponse(method, message);
    }
  }
  const work = withLogFields({ requestId }, () => send(encode(answer(open)), call, signal));
  try {
    using _ = open;
    await untilAborted(work, signal);
    call.end();
  } catch (error) {
    call.emit('error', toStatus(error, signal, requestId));
  }
  await work.then(
    () => logCall(calls, method.path, open, undefined),
    (error: unknown) => logCall(calls, method.path, open, { error }),
  );
}

async function sendAll(messages: AsyncIterable<Buffer>, call: OutgoingStream, signal: AbortSignal) {
  for await (const message of messages) {
    signal.throwIfAborted();
    if (!call.write(message)) await once(call, 'drain', { signal });
  }
}

/** Reads the source as fast as it comes, so that it need not keep anything for a slow caller. */
async function sendLive(
  messages: AsyncIterable<Buffer>,
  call: OutgoingStream,
  signal: AbortSignal,
) {
  const stop = new AbortController();
  const queue = new BoundedQueue(AbortSignal.any([signal, stop.signal]));
  const read = async () => {
    for await (const message of messages) queue.push(message);
    queue.end();
  };
  try {
    await Promise.all([read(), sendAll(queue, call, queue.signal)]);
  } finally {
    // Whichever of the two failed, the other must not go on.
    stop.abort();
  }
}
