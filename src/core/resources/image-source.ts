import * as z from '../zod.ts';
import { choice, line } from './field-schemas.ts';

const SCHEMES = /^(file:\/\/\/|https?:\/\/|s3:\/\/|oci:\/\/|marketplace:\/\/|pvc:\/\/)\S+$/;

/** A user before the host; a digest in oci://NAME@DIGEST is none, and files have no host. */
const USER = /^(?!file:|oci:)\w+:\/\/+[^/?#]*@|^oci:\/\/+[^/]*@[^/]*\//;

/** Schemes that the agent cannot fetch from, and why. */
const NOT_FETCHED = {
  's3://': 'the agent cannot fetch from S3 yet; give a signed https address',
  'oci://': 'the agent cannot fetch from registries yet; give an https address',
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
    .refine(
      (text) => !USER.test(text),
      'must have no user or password in it; name a secret in auth',
    )
    .meta({
      description:
        '`file:///PATH`, `http(s)://…`, `s3://BUCKET/PATH`, `oci://…`, `marketplace://NAME` or `pvc://NAMESPACE/NAME`.',
      notSupportedPrefixes: NOT_FETCHED,
    }),
  digest: z
    .string()
    .regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hexadecimal digits in lower case')
    .optional()
    .meta({ description: 'Digest that the content must have.' }),
  format: choice('IMAGE_FORMAT', ['auto', 'raw']).optional().meta({
    description:
      'What the content is: seen by its first bytes, unless given. Only raw must be said, as bytes that are nothing else are never taken for a disk.',
  }),
  pullPolicy: choice('IMAGE_PULL_POLICY', ['Always', 'IfNotPresent', 'Never']).optional().meta({
    description:
      'Whether the source is asked when a disk is made: IfNotPresent, unless given, takes what the node has of this source; Always asks whether that is still the same; Never fetches nothing.',
  }),
  auth: z.string().min(1).optional().meta({
    description: 'Name of the secret to fetch it with.',
    notSupported:
      'the agent cannot log in to where images are published yet; give a signed address',
  }),
});

export type ImageSource = z.output<typeof imageSource>;

export type PullPolicy = NonNullable<ImageSource['pullPolicy']>;

/** An address as it may be shown: what signs it stands in its query. */
export function shownSource(source: string): string {
  return source.replace(/[?#].*$/s, '?…');
}
