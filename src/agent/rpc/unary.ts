import type { handleUnaryCall, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import { AgentError } from '../../core/errors.ts';
import { withLogFields } from '../../core/logger.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import { type CallContext, OpenCall } from './call-context.ts';
import { logCall } from './call-log.ts';
import type { Calls } from './calls.ts';
import { Encoded } from './encoded.ts';
import { MAX_RESPONSE_BYTES } from './message-limits.ts';
import { toStatus } from './status.ts';

/** For calls whose caller has set no deadline. */
const DEFAULT_TIMEOUT_MS = 60_000;

/** One method of a generated service. */
export interface RpcMethod<Request, Response> {
  readonly path: string;
  readonly requestDeserialize: (bytes: Buffer) => Request;
  readonly responseSerialize: (response: Response) => Buffer;
}

export type UnaryHandler<Request, Response> = (
  request: Request,
  context: CallContext,
) => Promise<Response | Encoded>;

/**
 * Leads calls of the gRPC library to a handler. Bytes go in and out, so that a message that cannot be read or
 * written becomes a status of ours like any other error. The caller is answered at its deadline even if the
 * handler goes on.
 */
export function unary<Request, Response>(
  method: RpcMethod<Request, Response>,
  handler: UnaryHandler<Request, Response>,
  calls: Calls,
  defaultTimeoutMs: number = DEFAULT_TIMEOUT_MS,
): handleUnaryCall<Buffer, Buffer> {
  return (call, answer) => calls.track(run(call, answer));

  async function run(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) {
    let open: OpenCall;
    try {
      open = new OpenCall(call, calls.admitted.get(call.metadata), defaultTimeoutMs);
    } catch (error) {
      answer(toStatus(error, AbortSignal.abort(), ''));
      return;
    }
    const { requestId, signal } = open;
    const work = withLogFields({ requestId }, async () => {
      const response = await handler(readRequest(method, call.request), open);
      return writeResponse(method, response);
    });
    try {
      using _ = open;
      answer(null, await untilAborted(work, signal));
    } catch (error) {
      answer(toStatus(error, signal, requestId));
    }
    // What is logged is what came of it, even if the caller did not wait for that.
    await work.then(
      () => logCall(calls, method.path, open, undefined),
      (error: unknown) => logCall(calls, method.path, open, { error }),
    );
  }
}

export function readRequest<Request>(method: RpcMethod<Request, never>, bytes: Buffer): Request {
  try {
    return method.requestDeserialize(bytes);
  } catch (error) {
    throw new AgentError('INVALID_REQUEST', `The request of ${method.path} cannot be decoded`, {
      cause: error,
    });
  }
}

/** The gRPC library would refuse to send a larger one without saying so in our words. */
export function writeResponse<Request, Response>(
  method: RpcMethod<Request, Response>,
  response: Response | Encoded,
): Buffer {
  const bytes =
    response instanceof Encoded
      ? Buffer.from(response.bytes.buffer, response.bytes.byteOffset, response.bytes.length)
      : method.responseSerialize(response);
  if (bytes.length <= MAX_RESPONSE_BYTES) return bytes;
  throw new AgentError(
    'RESPONSE_TOO_LARGE',
    `The response of ${method.path} has ${bytes.length} bytes, of at most ${MAX_RESPONSE_BYTES}`,
  );
}
