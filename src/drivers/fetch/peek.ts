import type { PeekedContent } from '../image-fetcher.ts';
import { versionOf } from './content-version.ts';
import { failedByCurl, refusedByServer } from './errors.ts';
import { versionOfFile } from './local-file.ts';
import type { Place } from './place.ts';
import { type Answer, ask, type Question } from './redirections.ts';
import { type ResponseHead, rangeOf, totalBytesOf } from './response-head.ts';

const MOST_BYTES = 64 * 1024;

export type Where = Place & Pick<Question, 'hosts' | 'settings'>;

/** One try. */
export async function peekAt(where: Where, signal: AbortSignal): Promise<PeekedContent> {
  const isFile = where.at.protocol === 'file:';
  const fileVersion = isFile ? await versionOfFile(where.at, signal) : undefined;
  const range = isFile ? [] : [`Range: bytes=0-${MOST_BYTES - 1}`];
  const first = await getStart(where, range, signal);
  // Of nothing there is no such range, and some servers promise ranges that they do not have.
  const isRefused = first.answer.head?.status === 416;
  const { answer, start } = isRefused ? await getStart(where, [], signal) : first;
  const { head, code, complaint, wasStopped } = answer;
  if (head === undefined) throw failedByCurl(where.url, code, complaint);
  if (!isStart(head)) throw refusedByServer(where, answer, head);
  if (!wasStopped && code !== 0) throw failedByCurl(where.url, code, complaint);
  return { start, totalBytes: totalBytesOf(head), version: fileVersion ?? versionOf(head) };
}

async function getStart(
  where: Where,
  headers: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly answer: Answer; readonly start: Buffer }> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const question: Question = {
    ...where,
    headers,
    output: undefined,
    // Nobody runs what is only looked at.
    isChecked: true,
    onHead: (head) => (isStart(head) ? 'go-on' : 'stop'),
    onContent: (chunk) => {
      chunks.push(chunk);
      bytes += chunk.length;
      return bytes < MOST_BYTES ? 'go-on' : 'stop';
    },
  };
  const answer = await ask(question, signal);
  return { answer, start: Buffer.concat(chunks).subarray(0, MOST_BYTES) };
}

function isStart(head: ResponseHead): boolean {
  return head.status === 200 || (head.status === 206 && rangeOf(head)?.first === 0);
}
