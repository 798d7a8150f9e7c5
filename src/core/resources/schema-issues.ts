import type { FieldViolation } from '../errors.ts';
import { nearestKey } from '../nearest-key.ts';
import * as z from '../zod.ts';
import { bare } from './field-schemas.ts';

/** For `safeParse`: says what is missing or of the wrong type in the words of YAML. */
export const schemaMessages = {
  error: (issue: z.core.$ZodRawIssue) =>
    issue.code === 'invalid_type' ? typeMessage(issue.expected, issue.input) : undefined,
} as const;

function typeMessage(expected: string, input: unknown): string | undefined {
  if (input === undefined) return 'is required';
  const kind = KINDS[expected];
  if (kind === undefined) return undefined;
  const isPlain = typeof input === 'number' || typeof input === 'boolean';
  if (expected === 'string' && isPlain) return `must be text: write it in quotes, "${input}"`;
  return typeof input === 'string' || isPlain
    ? `must be ${kind}, not ${JSON.stringify(input)}`
    : `must be ${kind}`;
}

const KINDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
};

/** What a strict schema refuses, one violation each, with the nearest known key for an unknown one. */
export function describeIssues(
  error: z.ZodError,
  schema: z.core.$ZodType,
  at: readonly PropertyKey[] = [],
): FieldViolation[] {
  return error.issues.flatMap((issue) => {
    if (issue.code !== 'unrecognized_keys') {
      const field = fieldPath([...at, ...issue.path]) || '(top level)';
      return [{ field, description: issue.message }];
    }
    const known = keysAt(schema, issue.path);
    return issue.keys.map((key) => {
      const near = nearestKey(key, known);
      const advice = near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}?`;
      return {
        field: fieldPath([...at, ...issue.path, key]),
        description: `unknown key; ${advice}`,
      };
    });
  });
}

/** The first violation in words, and how many more there are. */
export function summarize([first, ...others]: readonly FieldViolation[]): string {
  if (first === undefined) return '';
  const count = others.length;
  const more = count === 0 ? '' : ` (and ${count} more problem${count === 1 ? '' : 's'})`;
  return `${first.field} ${first.description}${more}`;
}

/** As manifests and violations name fields: `spec.template.spec.volumes[1].format`, `metadata.labels["a/b"]`. */
export function fieldPath(path: readonly PropertyKey[]): string {
  return path
    .map((key) => {
      if (typeof key === 'number') return `[${key}]`;
      return /^\w+$/.test(String(key)) ? `.${String(key)}` : `[${JSON.stringify(String(key))}]`;
    })
    .join('')
    .replace(/^\./, '');
}

function keysAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  let current: z.core.$ZodType | undefined = bare(schema);
  for (const key of path) {
    if (current instanceof z.ZodObject) {
      const field: z.core.$ZodType | undefined = current.shape[String(key)];
      current = field && bare(field);
    } else if (current instanceof z.ZodArray) current = bare(current.element);
    else if (current instanceof z.ZodRecord) current = bare(current.valueType);
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}
