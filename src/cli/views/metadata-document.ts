import type { ObjectMeta } from '../../client/api.ts';
import { type Document, timestampText, withoutEmpty } from '../output/documents.ts';

export function metadataDocument(metadata: ObjectMeta | undefined): Document {
  if (metadata === undefined) return {};
  return withoutEmpty({
    ...metadata,
    generation: metadata.generation || undefined,
    creationTimestamp: timestampText(metadata.creationTimestamp),
  });
}
