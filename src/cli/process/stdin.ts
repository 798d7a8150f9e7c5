import { AgentError } from '../../core/errors.ts';
import { Interrupted } from './exit-codes.ts';

const END = ['\r', '\n', '\u0004'];
const ERASE = ['\u007f', '\b'];
const INTERRUPT = '\u0003';

/** All of it. Fails with INVALID_REQUEST, before it has read on, for more than so many bytes. */
export async function readBytes(
  input: AsyncIterable<Buffer>,
  maxBytes: number,
): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of input) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      throw new AgentError(
        'INVALID_REQUEST',
        `Cannot take more than ${maxBytes} bytes from standard input`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** What is typed up to Enter, which the terminal does not show. The terminal is as it was before, however it ends. */
export async function readUnseen(
  terminal: NodeJS.ReadStream,
  signal: AbortSignal,
): Promise<string> {
  const typed = Promise.withResolvers<string>();
  let text = '';
  const onData = (data: Buffer): void => {
    for (const character of data.toString()) {
      if (character === INTERRUPT) typed.reject(new Interrupted('Interrupted'));
      else if (END.includes(character)) typed.resolve(text);
      else if (ERASE.includes(character)) text = text.replace(/.$/su, '');
      else text += character;
    }
  };
  const onAbort = (): void => typed.reject(signal.reason);
  terminal.setRawMode(true);
  terminal.on('data', onData).resume();
  signal.addEventListener('abort', onAbort);
  try {
    if (signal.aborted) onAbort();
    return await typed.promise;
  } finally {
    signal.removeEventListener('abort', onAbort);
    terminal.off('data', onData).pause();
    terminal.setRawMode(false);
  }
}
