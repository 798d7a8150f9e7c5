import { parseOciReference } from '../oci-reference.ts';
import { parseS3Location } from '../s3-location.ts';
import * as z from '../zod.ts';
import { choice, line } from './field-schemas.ts';
import { secretName } from './secret-name.ts';
import type { SpecProblem } from './spec-problem.ts';

const SCHEMES = /^(file:\/\/\/|https?:\/\/|s3:\/\/|oci:\/\/|marketplace:\/\/|pvc:\/\/)\S+$/;

/** A user before the host; a digest in oci://NAME@DIGEST is none, and files have no host. */
const USER = /^(?!file:|oci:)\w+:\/\/+[^/?#]*@|^oci:\/\/+[^/]*@[^/]*\//;

/** Schemes that the agent cannot fetch from, and why. */
const NOT_FETCHED = {
  'marketplace://': 'only a cluster can resolve it; give an https address',
  'pvc://':
    'only a cluster can resolve it; give the path that it is mounted under, as file:///PATH',
};

/** Where a disk's content comes from. */
export const imageSource = z.strictObject({
  source: line(4096)
    .regex(
      SCHEMES,
      'must be file:///PATH, http(s)://…, s3://BUCKET/PATH, oci://…, marketplace://NAME or pvc://NAMESPACE/NAME',
    )
    .refine((text) => !USER.test(text), {
      message: 'must have no user or password in it; name a secret in auth',
      abort: true,
    })
    .refine(
      (text) => !text.startsWith('oci:') || parseOciReference(text) !== undefined,
      'must be oci://REGISTRY/REPOSITORY[:TAG][@sha256:…], with the repository in lower case',
    )
    .refine(
      (text) => !text.startsWith('s3:') || parseS3Location(text) !== undefined,
      'must be s3://BUCKET/PATH, with the path as the bucket has it',
    )
    .meta({
      description:
        '`file:///PATH`, `http(s)://…`, `s3://BUCKET/PATH`, `oci://REGISTRY/REPOSITORY[:TAG][@sha256:…]`, `marketplace://NAME` or `pvc://NAMESPACE/NAME`.',
      notSupportedPrefixes: NOT_FETCHED,
    }),
  digest: z
    .string()
    .regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hexadecimal digits in lower case')
    .optional()
    .meta({
      description:
        'Digest that the content must have; from a registry the disk itself, as the source has a place for that of the manifest.',
    }),
  format: choice('IMAGE_FORMAT', ['auto', 'raw']).optional().meta({
    description:
      'What the content is: seen by its first bytes, unless given. Only raw must be said, as bytes that are nothing else are never taken for a disk.',
  }),
  pullPolicy: choice('IMAGE_PULL_POLICY', ['Always', 'IfNotPresent', 'Never']).optional().meta({
    description:
      'Whether the source is asked when a disk is made: IfNotPresent, unless given, takes what the node has of this source; Always asks whether that is still the same; Never fetches nothing.',
  }),
  clone: choice('IMAGE_CLONE', ['thin', 'full']).optional().meta({
    description:
      'Of a disk that is made from it: whether it stands on the image (thin, unless given, in the format qcow2), or has all of it in itself (full, as always in the format raw).',
  }),
  auth: secretName.optional().meta({
    description:
      "Name of a file in the node's folder of secrets (`/etc/novacron/secrets`) with one line: `USER:PASSWORD`, for S3 `ACCESS-KEY-ID:SECRET-ACCESS-KEY`, or a bearer token. Read when it is fetched.",
  }),
});

export type ImageSource = z.output<typeof imageSource>;

export type PullPolicy = NonNullable<ImageSource['pullPolicy']>;

/** What is wrong between the fields of a source. */
export function* sourceProblems({ source, auth }: ImageSource): Generator<SpecProblem> {
  if (auth === undefined || !source.startsWith('file:')) return;
  yield { path: ['auth'], message: 'must be left out for a file of the node' };
}

/** An address as it may be shown: what signs it stands in its query. */
export function shownSource(source: string): string {
  return source.replace(/[?#].*$/s, '?…');
}
