import * as z from '../../../core/zod.ts';

const INDEX_TYPES = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];
const MANIFEST_TYPES = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

/** What a registry is asked for. */
export const ACCEPT = `Accept: ${[...INDEX_TYPES, ...MANIFEST_TYPES].join(', ')}`;

const descriptorSchema = z.object({
  mediaType: z.string().default(''),
  digest: z.string(),
  size: z.number().int().nonnegative(),
});

const indexSchema = z.object({
  manifests: z.array(
    descriptorSchema.extend({
      platform: z.object({ os: z.string(), architecture: z.string() }).optional(),
    }),
  ),
});

const manifestSchema = z.object({ layers: z.array(descriptorSchema) });

const DIGEST = /^sha256:[0-9a-f]{64}$/;
/** As image layers are called, and, unless somebody says otherwise, whatever oras pushes. */
const TAR_TYPE = /[.+]tar(?:[.+]\w+)?$/;

/** The one that the disk is in, or is. */
export interface Layer {
  /** `sha256:` and 64 hexadecimal digits. */
  readonly digest: string;
  readonly bytes: number;
  /** Whether it is called a tar, which its first bytes may show to be wrong. */
  readonly isCalledTar: boolean;
}

export type Manifest =
  /** Of several platforms; names the manifest of the one that VMs here have. */
  | { readonly kind: 'index'; readonly digest: string }
  | { readonly kind: 'image'; readonly layer: Layer };

/** Why a manifest is of no use, after "it". */
export class UnusableManifest extends Error {}

/** Reads what a registry has answered. Throws an UnusableManifest. */
export function parseManifest(content: Buffer): Manifest {
  const json = parseJson(content);
  const index = indexSchema.safeParse(json).data;
  const manifest = manifestSchema.safeParse(json).data;
  // What is both is read as one thing by some, and as the other by others.
  if (index !== undefined && manifest === undefined) return readIndex(index);
  if (manifest !== undefined && index === undefined) return readImage(manifest);
  throw new UnusableManifest(
    'has a manifest that is none of an image or an artifact; look at it with: oras manifest fetch',
  );
}

function parseJson(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8'));
  } catch {
    throw new UnusableManifest('has a manifest that is no JSON; look whether it is a registry');
  }
}

function readIndex({ manifests }: z.infer<typeof indexSchema>): Manifest {
  const known = manifests.filter(({ mediaType }) => MANIFEST_TYPES.includes(mediaType));
  const fitting = known.find(
    ({ platform }) => platform?.os === 'linux' && platform.architecture === 'amd64',
  );
  const only = known.length === 1 && known[0]?.platform === undefined ? known[0] : undefined;
  const chosen = fitting ?? only;
  if (chosen === undefined) {
    throw new UnusableManifest('has nothing for linux/amd64; use another tag');
  }
  assertDigest(chosen.digest);
  return { kind: 'index', digest: chosen.digest };
}

function readImage({ layers }: z.infer<typeof manifestSchema>): Manifest {
  const [layer, ...others] = layers;
  if (layer === undefined || others.length > 0) {
    throw new UnusableManifest(
      `has ${layers.length} layers, and must have one: with the disk as disk/FILE in it, or the disk itself`,
    );
  }
  const { digest, size: bytes, mediaType } = layer;
  assertDigest(digest);
  if (mediaType.endsWith('+zstd')) {
    throw new UnusableManifest('has a layer that is compressed by zstd; use gzip, or none');
  }
  return { kind: 'image', layer: { digest, bytes, isCalledTar: TAR_TYPE.test(mediaType) } };
}

function assertDigest(digest: string): void {
  if (DIGEST.test(digest)) return;
  throw new UnusableManifest(
    'names what it has by other digests than SHA-256, which are not known',
  );
}
