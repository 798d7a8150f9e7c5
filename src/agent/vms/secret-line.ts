import { AgentError, hasReason } from '../../core/errors.ts';
import type { NodeSecrets } from '../../drivers/node-secrets.ts';

const MAX_BYTES = 1024;

export interface NamedSecret {
  readonly name: string;
  /** Where the manifest names it. */
  readonly field: string;
  /** What is to be in it, in words. */
  readonly what: string;
}

/** The one line that a secret has, be it without the end that editors leave. Fails with SECRET_NOT_FOUND or INVALID_SPEC, by field. */
export async function readSecretLine(
  { name, field, what }: NamedSecret,
  secrets: NodeSecrets,
  signal: AbortSignal,
): Promise<string> {
  const content = await readSecret({ name, field, what }, secrets, signal);
  const text = Buffer.from(content)
    .toString('utf8')
    .replace(/\r?\n$/, '');
  const isOne = text !== '' && !/\p{Cc}|\uFFFD/u.test(text) && Buffer.byteLength(text) <= MAX_BYTES;
  if (isOne) return text;
  const description = `must name a secret with one line of 1 to ${MAX_BYTES} bytes: ${what}`;
  throw new AgentError('INVALID_SPEC', `Cannot use ${field}: it ${description}`, {
    violations: [{ field, description }],
  });
}

async function readSecret(
  { name, field }: NamedSecret,
  secrets: NodeSecrets,
  signal: AbortSignal,
): Promise<Uint8Array> {
  try {
    return await secrets.read(name, signal);
  } catch (error) {
    if (!hasReason(error, 'SECRET_NOT_FOUND')) throw error;
    const description = `names ${name}: ${error.message.replace(/^Cannot [^:]*: /, '')}`;
    throw new AgentError('SECRET_NOT_FOUND', `Cannot use ${field}: it ${description}`, {
      violations: [{ field, description }],
      cause: error,
    });
  }
}
