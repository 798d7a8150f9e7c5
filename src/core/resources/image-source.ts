import * as z from '../zod.ts';
import { line } from './field-schemas.ts';

const SCHEMES = /^(file:\/\/\/|https?:\/\/|s3:\/\/|oci:\/\/|marketplace:\/\/|pvc:\/\/)\S+$/;

/** A user before the host; a digest in oci://NAME@DIGEST is none, and files have no host. */
const USER = /^(?!file:|oci:)\w+:\/\/+[^/?#]*@|^oci:\/\/+[^/]*@[^/]*\//;

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
    }),
  digest: z
    .string()
    .regex(/^sha256:[0-9a-f]{64}$/, 'must be sha256: and 64 hexadecimal digits in lower case')
    .optional()
    .meta({ description: 'Digest that the content must have.' }),
  auth: z.string().min(1).optional().meta({ description: 'Name of the secret to fetch it with.' }),
});
