import { z } from 'zod';
import type { FieldViolation } from '../../core/errors.ts';
import { nearestKey } from '../../core/nearest-key.ts';

/** For `safeParse`: says that a key is missing, rather than that it is undefined. */
export const schemaMessages = {
  error: ({ code, input }: z.core.$ZodRawIssue) =>
    code === 'invalid_type' && input === undefined ? 'is required' : undefined,
} as const;

/** What a strict schema refuses, one violation each, with the nearest known key for an unknown one. */
export function describeIssues(error: z.ZodError, schema: z.ZodType): FieldViolation[] {
  return error.issues.flatMap((issue) => describe(issue, schema));
}

function describe(issue: z.core.$ZodIssue, schema: z.ZodType): FieldViolation[] {
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, issue.path);
    return issue.keys.map((key) => {
      const near = nearestKey(key, known);
      const advice = near === undefined ? `known are ${known.join(', ')}` : `did you mean ${near}?`;
      return { field: fieldPath([...issue.path, key]), description: `unknown key; ${advice}` };
    });
  }
  return [{ field: fieldPath(issue.path) || '(top level)', description: issue.message }];
}

/** As in the API's violations: `spec.disks[1].target`. */
function fieldPath(path: readonly PropertyKey[]): string {
  return path
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`))
    .join('')
    .replace(/^\./, '');
}

function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let current: unknown = unwrap(schema);
  for (const key of path) {
    if (current instanceof z.ZodObject) current = unwrap(current.shape[String(key)]);
    else if (current instanceof z.ZodArray) current = unwrap(current.element);
    else if (current instanceof z.ZodRecord) current = unwrap(current.valueType);
  }
  return current instanceof z.ZodObject ? Object.keys(current.shape) : [];
}

function unwrap(schema: unknown): unknown {
  let current = schema;
  while (
    current instanceof z.ZodOptional ||
    current instanceof z.ZodDefault ||
    current instanceof z.ZodPrefault
  ) {
    current = current.unwrap();
  }
  return current;
}
