import { AgentError, hasReason } from '../../core/errors.ts';
import { shownSource } from '../../core/resources/image-source.ts';
import type { ImageCredentials } from '../../drivers/image-fetcher.ts';
import type { NodeSecrets } from '../../drivers/node-secrets.ts';
import type { ImageWant } from './image.ts';

/** Tokens of clouds have some KiB. */
const MAX_BYTES = 16 * 1024;

/** What an image is to be fetched with. Fails with SECRET_NOT_FOUND, and INVALID_SPEC for a secret that is none of that kind. */
export async function readCredentials(
  { source, auth }: Pick<ImageWant, 'source' | 'auth'>,
  secrets: Pick<NodeSecrets, 'read'>,
  signal: AbortSignal,
): Promise<ImageCredentials | undefined> {
  if (auth === undefined) return undefined;
  const refused = `Cannot fetch the image ${shownSource(source)} with the secret ${auth.name}`;
  try {
    const credentials = parse(auth.given ?? (await secrets.read(auth.name, signal)));
    if (credentials !== undefined) return credentials;
  } catch (error) {
    if (!hasReason(error, 'SECRET_NOT_FOUND')) throw error;
    const why = error.message.replace(/^Cannot [^:]*: /, '');
    throw new AgentError('SECRET_NOT_FOUND', `${refused}: ${why}`, { cause: error });
  }
  throw new AgentError(
    'INVALID_SPEC',
    `${refused}: it must have one line of at most ${MAX_BYTES} bytes: USER:PASSWORD, for S3 ACCESS-KEY-ID:SECRET-ACCESS-KEY, or a bearer token`,
  );
}

/** As an editor leaves it, with an end of line. */
function parse(content: Uint8Array): ImageCredentials | undefined {
  const text = Buffer.from(content)
    .toString('utf8')
    .replace(/\r?\n$/, '');
  // It goes into headers.
  if (/\p{Cc}|\uFFFD/u.test(text) || Buffer.byteLength(text) > MAX_BYTES) return undefined;
  const colon = text.indexOf(':');
  if (colon > 0 && colon < text.length - 1) {
    return { kind: 'password', user: text.slice(0, colon), password: text.slice(colon + 1) };
  }
  return /^[\x21-\x39\x3b-\x7e]+$/.test(text) ? { kind: 'token', token: text } : undefined;
}
