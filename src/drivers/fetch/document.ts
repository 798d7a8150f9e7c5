import { failedByCurl, fetchFailed } from './errors.ts';
import type { Where } from './peek.ts';
import { type Answer, ask } from './redirections.ts';
import type { ResponseHead } from './response-head.ts';
import { shownUrl } from './shown-url.ts';

/** What says little has said all of it by then. */
const TIMEOUT_MS = 60_000;

export interface DocumentQuestion extends Where {
  readonly headers: readonly string[];
  readonly maxBytes: number;
  /** Whether what comes is compared with a digest, so that it does not matter who could change it on the way. */
  readonly isChecked: boolean;
}

export interface DocumentAnswer extends Answer {
  readonly head: ResponseHead;
  /** Of a 200 all that was said; of anything else nothing. */
  readonly content: Buffer;
}

/** Asks once for something small that tells of a content. What a server refuses is for the caller to judge. */
export async function askForDocument(
  { maxBytes, ...question }: DocumentQuestion,
  signal: AbortSignal,
): Promise<DocumentAnswer> {
  const { url, at } = question;
  const chunks: Buffer[] = [];
  let bytes = 0;
  const answer = await ask(
    {
      ...question,
      output: undefined,
      wholeTimeoutMs: TIMEOUT_MS,
      onHead: ({ status }) => (status === 200 ? 'go-on' : 'stop'),
      onContent: (chunk) => {
        chunks.push(chunk);
        bytes += chunk.length;
        return bytes > maxBytes ? 'stop' : 'go-on';
      },
    },
    signal,
  );
  const { head, code, complaint } = answer;
  if (bytes > maxBytes) {
    throw fetchFailed(
      url,
      `${shownUrl(at)} says more than the ${maxBytes} bytes that are read of it; look at it with: curl -v`,
    );
  }
  if (head === undefined || (head.status === 200 && code !== 0)) {
    throw failedByCurl(url, code, complaint);
  }
  const content = head.status === 200 ? Buffer.concat(chunks) : Buffer.alloc(0);
  return { ...answer, head, content };
}
