/** Gets the contents of images from where they are published into files of this node. No byte of them passes through the agent. */
export interface ImageFetcher {
  /**
   * The first bytes of the content, to see what it is before all of it is fetched. Fails as `fetch` does. What a server that knows
   * no ranges sends beyond them is cut off.
   */
  peek(location: ImageLocation, signal: AbortSignal): Promise<PeekedContent>;

  /**
   * Gets the whole content into `path`, a part of it that is there already for the same content being gone on from, and answers once
   * it is on the disk with its digest. Two versions are never joined: a part whose version is not known for certain, or has changed,
   * is thrown away. Content that may be cut off without anybody noticing (neither its length, nor chunks, nor a digest say where it
   * ends) is refused. Aborted or failed, the part stays for the next time, unless it is of no use. One at a time for each `path`, also
   * among agents of one machine.
   *
   * Fails with IMAGE_FETCH_FAILED (what the server said, or that it was not reached; `metadata.retryable` is `true` where it may go
   * better next time), IMAGE_DIGEST_MISMATCH, IMAGE_NOT_ALLOWED (an address or protocol that images must not come from, also by
   * redirection), IMAGE_INVALID (larger than `maxBytes`, or no disk in what a registry has) and STORAGE_FULL. None of these has
   * anything of the credentials in it.
   */
  fetch(
    request: FetchRequest,
    onProgress: (progress: FetchProgress) => void,
    signal: AbortSignal,
  ): Promise<FetchedContent>;
}

export interface ImageLocation {
  /** `http:`, `https:`, `file:`, `oci:` or `s3:`. */
  readonly url: string;
  /** What is shown to who publishes it, and to nobody else; undefined: nothing. */
  readonly credentials?: ImageCredentials | undefined;
}

/** What a secret holds that images are fetched with. */
export type ImageCredentials =
  /** For S3 these are the access key's id and the secret access key. */
  | { readonly kind: 'password'; readonly user: string; readonly password: string }
  | { readonly kind: 'token'; readonly token: string };

export interface PeekedContent {
  /** At most 64 KiB. */
  readonly start: Uint8Array;
  /** Of the whole content; undefined where the server does not say. */
  readonly totalBytes: number | undefined;
  readonly version: string | undefined;
}

export interface FetchRequest extends ImageLocation {
  /** Of the file that the content is to be in; its folder exists. Beside it are files of the same name with endings. */
  readonly path: string;
  readonly maxBytes: number;
  /** SHA-256 in hex that the content must have; of a container disk the file in it. */
  readonly digest: string | undefined;
  /** What is here already: where the server says that this is still so, nothing is fetched. */
  readonly knownVersion?: string | undefined;
}

export interface FetchProgress {
  readonly bytes: number;
  /** Undefined where the server does not say. */
  readonly totalBytes: number | undefined;
}

export type FetchedContent =
  | {
      readonly isUnchanged: false;
      readonly bytes: number;
      /** SHA-256 in hex. */
      readonly digest: string;
      /** What the server calls this content, by which it can be asked whether it is still the same; undefined if nothing. */
      readonly version: string | undefined;
    }
  | { readonly isUnchanged: true };
