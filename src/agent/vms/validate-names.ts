import { posix } from 'node:path';
import type { FieldViolation } from '../../core/errors.ts';

/** Kubernetes' limits. */
const MAX_NAME = 63;
const MAX_PREFIX = 253;
const MAX_ANNOTATIONS_BYTES = 256 * 1024;
/** Linux' PATH_MAX without the closing NUL. */
const MAX_PATH_BYTES = 4095;

/** RFC 1123. */
export function isDnsLabel(text: string): boolean {
  return text.length <= MAX_NAME && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(text);
}

/** What is wrong with a path on the node; undefined if nothing is. */
export function pathProblem(path: string): string | undefined {
  if (path === '') return 'must not be empty';
  if (/\p{Cc}/u.test(path) || !path.isWellFormed() || /[\ufffe\uffff]/.test(path)) {
    return 'must not contain control or invalid characters';
  }
  if (!path.startsWith('/')) return 'must be an absolute path';
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `must be at most ${MAX_PATH_BYTES} bytes`;
  if (posix.normalize(path) !== path || path.endsWith('/') || path.startsWith('//')) {
    return 'must be a plain path to a file, without "..", ".", "//" or a slash at the end';
  }
  return undefined;
}

export function* labelProblems(
  labels: Readonly<Record<string, string>>,
): Generator<FieldViolation> {
  for (const [key, value] of Object.entries(labels)) {
    const field = `labels[${JSON.stringify(key)}]`;
    if (!isQualifiedName(key)) yield { field, description: KEY_RULE };
    if (value !== '' && !isName(value)) {
      yield { field, description: `has a value that is not empty and not ${NAME_RULE}` };
    }
  }
}

export function* annotationProblems(
  annotations: Readonly<Record<string, string>>,
): Generator<FieldViolation> {
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    const field = `annotations[${JSON.stringify(key)}]`;
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
    // Kubernetes lets annotations, but not labels, have upper-case prefixes.
    if (!isQualifiedName(key.toLowerCase())) yield { field, description: KEY_RULE };
  }
  if (bytes > MAX_ANNOTATIONS_BYTES) {
    const description = `must be at most ${MAX_ANNOTATIONS_BYTES} bytes in all, not ${bytes}`;
    yield { field: 'annotations', description };
  }
}

const NAME_RULE = '1 to 63 letters, digits, ".", "_" or "-" with a letter or digit at both ends';
const KEY_RULE = `must have a key of ${NAME_RULE}, optionally after a DNS name and a slash`;

function isName(text: string): boolean {
  return text.length <= MAX_NAME && /^[A-Za-z0-9]([\w.-]*[A-Za-z0-9])?$/.test(text);
}

function isQualifiedName(key: string): boolean {
  const parts = key.split('/');
  const name = parts.pop() ?? '';
  const [prefix, ...others] = parts;
  if (others.length > 0 || !isName(name)) return false;
  return prefix === undefined || isDnsSubdomain(prefix);
}

function isDnsSubdomain(text: string): boolean {
  return (
    text.length <= MAX_PREFIX &&
    /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(text)
  );
}
