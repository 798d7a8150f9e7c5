import { once } from 'node:events';
import type { handleServerStreamingCall, ServerWritableStream } from '@grpc/grpc-js';
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

type OutgoingStream = ServerWritableStream<Buffer, Buffer>;

/** Leads calls of the gRPC library to a handler that answers with a stream. There is no default deadline. */
export function serverStream<Request, Response>(
  method: RpcMethod<Request, Response>,
  handler: StreamHandler<Request, Response>,
  calls: Calls,
  whenBehind: WhenBehind,
): handleServerStreamingCall<Buffer, Buffer> {
  return (call) => calls.track(run(call));

  async function run(call: OutgoingStream) {
    let open: OpenCall;
    try {
      open = new OpenCall(call, calls.admitted.get(call.metadata), undefined);
    } catch (error) {
      call.emit('error', toStatus(error, AbortSignal.abort(), ''));
      return;
    }
    const { requestId, signal } = open;
    const work = withLogFields({ requestId }, async () => {
      const messages = handler(readRequest(method, call.request), open);
      if (whenBehind === 'wait') await sendAll(encode(messages, open), call, signal);
      else await sendLive(encode(messages, open), call, signal);
    });
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

  async function* encode(
    messages: AsyncIterable<Response | Encoded>,
    open: OpenCall,
  ): AsyncIterable<Buffer> {
    for await (const message of messages) {
      logFirstAnswer(calls, method.path, open);
      yield writeResponse(method, message);
    }
  }
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
