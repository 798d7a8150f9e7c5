/** An object in S3, or in what speaks as S3 does. */
export interface S3Location {
  readonly bucket: string;
  readonly key: string;
}

const LOCATION = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/([^\s]{1,1024})$/;

/** Of `s3://BUCKET/KEY`, where the key stands as it is; undefined for what is none. */
export function parseS3Location(source: string): S3Location | undefined {
  const [, bucket, key] = LOCATION.exec(source) ?? [];
  if (bucket === undefined || key === undefined || bucket.includes('..')) return undefined;
  // In the path of a URL they would lead elsewhere.
  if (key.split('/').some((part) => part === '.' || part === '..' || part === '')) return undefined;
  return { bucket, key };
}
