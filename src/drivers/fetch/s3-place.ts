import { parseS3Location } from '../../core/s3-location.ts';
import type { ImageCredentials } from '../image-fetcher.ts';
import type { Authorization } from './authorization.ts';
import { notAllowed } from './errors.ts';
import type { Place } from './place.ts';

export interface S3Settings {
  readonly region: string;
  /** AWS's own of that region unless given. */
  readonly endpoint?: string | undefined;
}

/** Where an object is asked for: with its bucket in the path, as every server has it. */
export function placeInS3(
  url: URL,
  source: string,
  credentials: ImageCredentials | undefined,
  { region, endpoint = `https://s3.${region}.amazonaws.com` }: S3Settings,
): Place {
  const location = parseS3Location(source);
  if (location === undefined) throw notAllowed(url, 'it is no s3://BUCKET/KEY; correct it');
  if (credentials?.kind === 'token') {
    throw notAllowed(
      url,
      'the secret that auth names must be ACCESS-KEY-ID:SECRET-ACCESS-KEY for S3',
    );
  }
  const path = [location.bucket, ...location.key.split('/')].map(encoded).join('/');
  const at = new URL(`${endpoint.replace(/\/+$/, '')}/${path}`);
  const authorization: Authorization | undefined = credentials && {
    kind: 'aws',
    user: credentials.user,
    password: credentials.password,
    region,
  };
  return { url, at, authorize: () => Promise.resolve(authorization) };
}

/** As what is signed has it: all but letters, digits and `-._~`. */
function encoded(part: string): string {
  return encodeURIComponent(part).replaceAll(
    /[!'()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
