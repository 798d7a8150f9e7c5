import type { FieldViolation } from '../errors.ts';
import { withoutUserData } from '../user-data.ts';
import { asciiJson } from './ascii-json.ts';
import type { ObjectMeta } from './object-meta.ts';
import type { VmSpec } from './virtual-machine.ts';

/** As it is kept. Other nodes take definitions of 1 MiB: one that is accepted here can be moved, and read by what is newer. */
const MAX_MANIFEST_BYTES = 768 * 1024;

/** What is wrong with the size of a manifest as a whole, said of its larger part. User data are kept apart and do not count. */
export function sizeProblem(metadata: ObjectMeta, spec: VmSpec): FieldViolation | undefined {
  const ofMetadata = asciiJson(metadata).length;
  const ofSpec = asciiJson(withoutUserData(spec)).length;
  const bytes = ofMetadata + ofSpec;
  if (bytes <= MAX_MANIFEST_BYTES) return undefined;
  return {
    field: ofMetadata > ofSpec ? 'metadata' : 'spec',
    description: `is too large: metadata and spec must come to at most ${MAX_MANIFEST_BYTES} bytes as JSON in ASCII, not ${bytes}`,
  };
}
