/** What an image in a registry is called. */
export interface OciReference {
  /** HOST or HOST:PORT. */
  readonly registry: string;
  readonly repository: string;
  /** Undefined where only a digest is given. */
  readonly tag: string | undefined;
  /** Of the manifest: `sha256:` and 64 hexadecimal digits. */
  readonly digest: string | undefined;
}

const HOST = String.raw`(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?`;
/** As the distribution specification has names. */
const PART = '[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*';
const TAG = String.raw`\w[\w.-]{0,127}`;
const REFERENCE = new RegExp(
  `^oci://(${HOST})/(${PART}(?:/${PART})*)(?::(${TAG}))?(?:@(sha256:[0-9a-f]{64}))?$`,
);
const MAX_REPOSITORY = 255;

/** Of `oci://REGISTRY/REPOSITORY[:TAG][@sha256:…]`; undefined for what is none. Without tag and digest it is the tag `latest`. */
export function parseOciReference(source: string): OciReference | undefined {
  const [, registry, repository, tag, digest] = REFERENCE.exec(source) ?? [];
  if (registry === undefined || repository === undefined) return undefined;
  if (repository.length > MAX_REPOSITORY) return undefined;
  return {
    registry,
    repository,
    tag: tag ?? (digest === undefined ? 'latest' : undefined),
    digest,
  };
}
