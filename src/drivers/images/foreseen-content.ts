import { AgentError } from '../../core/errors.ts';
import { shownSource } from '../../core/resources/image-source.ts';
import { wholeSectors } from '../../core/resources/volumes-of.ts';
import type { ForeseeRequest } from '../image-store.ts';
import { kindOf, refusalOf, sizeProblem } from './image-kinds.ts';

/** See `ImageStore.foresee`. */
export function foreseeContent({ url, start, totalBytes, format, maxBytes }: ForeseeRequest): {
  readonly virtualBytes: number | undefined;
} {
  const kind = kindOf(Buffer.from(start.buffer, start.byteOffset, start.byteLength));
  const tooLarge = totalBytes === 0 ? undefined : sizeProblem(totalBytes, maxBytes);
  const problem = refusalOf(kind, { format, maxBytes }) ?? tooLarge;
  if (problem !== undefined) {
    throw new AgentError(
      'IMAGE_INVALID',
      `Cannot use the image ${shownSource(url)}: it ${problem}`,
    );
  }
  const isRaw = format === 'raw' || kind.format === 'raw';
  if (!isRaw || totalBytes === undefined) return { virtualBytes: kind.virtualBytes };
  return { virtualBytes: wholeSectors(totalBytes) };
}
