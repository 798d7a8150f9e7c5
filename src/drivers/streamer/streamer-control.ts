import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { AgentError } from '../../core/errors.ts';
import * as z from '../../core/zod.ts';
import { streamError } from './errors.ts';

const replySchema = z.object({
  result: z.unknown().optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});

export interface ControlCall {
  readonly method: 'status' | 'setBandwidth' | 'setCompression' | 'stop' | 'abort';
  readonly params?: Readonly<Record<string, unknown>>;
  readonly timeoutMs: number;
}

/**
 * Asks a streamer something on its control socket, on a connection of its own. Fails with STREAM_FAILED if it
 * refuses, cannot be reached or does not answer in time.
 */
export async function callStreamer(
  target: { readonly id: string; readonly socket: string },
  call: ControlCall,
  signal: AbortSignal,
): Promise<unknown> {
  signal.throwIfAborted();
  const { id } = target;
  const connection = connect(target.socket);
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(call.timeoutMs)]);
  const cut = () => connection.destroy(new Error('timed out'));
  bounded.addEventListener('abort', cut, { once: true });
  try {
    connection.write(
      `${JSON.stringify({ id: 1, method: call.method, params: call.params ?? {} })}\n`,
    );
    const line = await firstLine(connection);
    const reply = replySchema.parse(JSON.parse(line));
    if (reply.error === undefined) return reply.result;
    throw streamError(id, `Transfer ${id} refused ${call.method}: ${reply.error.message}`, {
      code: reply.error.code,
    });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof AgentError) throw error;
    throw streamError(id, `Transfer ${id} does not answer to ${call.method}`, { cause: error });
  } finally {
    bounded.removeEventListener('abort', cut);
    connection.destroy();
  }
}

function firstLine(connection: ReturnType<typeof connect>): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  connection.on('error', reject);
  connection.on('close', () => reject(new Error('closed')));
  createInterface(connection).once('line', resolve).on('error', reject);
  return promise;
}
