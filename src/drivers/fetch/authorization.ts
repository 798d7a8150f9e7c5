import { createHash } from 'node:crypto';
import type { ImageCredentials } from '../image-fetcher.ts';

/** How whoever asks shows who it is. */
export type Authorization =
  | { readonly kind: 'header'; readonly value: string }
  | {
      readonly kind: 'aws';
      readonly user: string;
      readonly password: string;
      readonly region: string;
    };

const NO_BODY = createHash('sha256').update('').digest('hex');

/** As HTTP has it (RFC 7617, RFC 6750). */
export function headerOf(credentials: ImageCredentials): Authorization {
  if (credentials.kind === 'token') return bearer(credentials.token);
  const { user, password } = credentials;
  return { kind: 'header', value: `Basic ${basicOf(user, password)}` };
}

export function bearer(token: string): Authorization {
  return { kind: 'header', value: `Bearer ${token}` };
}

/** Lines of curl's configuration, which it reads from its standard input: nobody else can. */
export function authorizationLines(authorization: Authorization | undefined): readonly string[] {
  if (authorization === undefined) return [];
  if (authorization.kind === 'header') {
    return [configLine('header', `Authorization: ${authorization.value}`)];
  }
  const { user, password, region } = authorization;
  return [
    configLine('aws-sigv4', `aws:amz:${region}:s3`),
    configLine('user', `${user}:${password}`),
    // S3 wants it said.
    configLine('header', `x-amz-content-sha256: ${NO_BODY}`),
  ];
}

/** A line of curl's configuration. */
export function configLine(option: string, value: string): string {
  return `${option} = "${value.replaceAll(/["\\]/g, String.raw`\$&`)}"\n`;
}

/** To leave out a shorter one would tell it: it is what is missing from the words of the message. */
const SHORTEST_HIDDEN = 6;

/** A message without what nobody may find in one, also where a server has said it. */
export function hidden(text: string, credentials: ImageCredentials | undefined): string {
  return secretsIn(credentials)
    .filter(({ length }) => length >= SHORTEST_HIDDEN)
    .reduce((rest, secret) => rest.replaceAll(secret, '…'), text);
}

function secretsIn(credentials: ImageCredentials | undefined): readonly string[] {
  if (credentials === undefined) return [];
  if (credentials.kind === 'token') return [credentials.token];
  const { user, password } = credentials;
  return [basicOf(user, password), password];
}

function basicOf(user: string, password: string): string {
  return Buffer.from(`${user}:${password}`).toString('base64');
}
