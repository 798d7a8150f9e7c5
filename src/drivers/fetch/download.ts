import type { FetchedContent } from '../image-fetcher.ts';
import { isRetryable } from './errors.ts';
import type { PartFile } from './part-file.ts';
import { Transfer, type TransferOptions } from './transfer.ts';

/** What a part becomes once all of it is there. */
type Complete = (content: FetchedContent, part: PartFile) => Promise<FetchedContent>;

/** Gets a content, and makes its part what it is to be. Failed, the part stays if it is of use the next time. */
export async function download(
  options: TransferOptions,
  complete: Complete,
  signal: AbortSignal,
): Promise<FetchedContent> {
  const { part, request } = options;
  try {
    await using transfer = new Transfer(options);
    return await complete(await transfer.run(signal), part);
  } catch (error) {
    const isOfUse = signal.aborted || isRetryable(error);
    const hasDigest = request.digest !== undefined;
    if (!isOfUse || (await part.findStart(hasDigest)) === undefined) await part.remove();
    throw error;
  }
}

/** The part is the content. */
export async function keepPart(content: FetchedContent, part: PartFile): Promise<FetchedContent> {
  if (content.isUnchanged) await part.remove();
  else await part.complete();
  return content;
}
