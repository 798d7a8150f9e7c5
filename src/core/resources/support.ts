import type { FieldViolation } from '../errors.ts';
import * as z from '../zod.ts';
import { bare, metaOf } from './field-schemas.ts';
import { fieldPath } from './schema-issues.ts';

/** What of a resource the agent refuses or keeps without effect. */
export interface Support {
  readonly refused: readonly FieldViolation[];
  readonly notApplicable: readonly FieldViolation[];
}

/** Fields of an accepted object that the agent cannot carry out, or that have no meaning on one node. */
export function checkSupport(
  schema: z.core.$ZodType,
  value: unknown,
  at: readonly PropertyKey[] = [],
): Support {
  const refused: FieldViolation[] = [];
  const notApplicable: FieldViolation[] = [];
  visit(schema, value, at, { refused, notApplicable });
  return { refused, notApplicable };
}

function visit(
  schema: z.core.$ZodType,
  value: unknown,
  at: readonly PropertyKey[],
  found: { refused: FieldViolation[]; notApplicable: FieldViolation[] },
): void {
  if (value === undefined) return;
  if (typeof value === 'object' && value !== null && Object.keys(value).length === 0) return;
  const meta = metaOf(schema);
  const why =
    meta.notSupported ??
    meta.notSupportedValues?.[textOf(value)] ??
    Object.entries(meta.notSupportedPrefixes ?? {}).find(([prefix]) =>
      textOf(value).startsWith(prefix),
    )?.[1];
  if (why !== undefined) {
    found.refused.push({ field: fieldPath(at), description: `is not supported: ${why}` });
    return;
  }
  if (meta.notApplicable !== undefined) {
    const description = `is kept and has no effect: ${meta.notApplicable}`;
    found.notApplicable.push({ field: fieldPath(at), description });
    return;
  }
  const type = bare(schema);
  if (type instanceof z.ZodObject) {
    for (const [key, field] of Object.entries<z.core.$ZodType>(type.shape)) {
      visit(field, (value as Record<string, unknown>)[key], [...at, key], found);
    }
  } else if (type instanceof z.ZodArray) {
    for (const [index, item] of (value as readonly unknown[]).entries()) {
      visit(type.element, item, [...at, index], found);
    }
  }
}

/** How the value of an enum or a truth value is named; nothing for what is neither. */
function textOf(value: unknown): string {
  return typeof value === 'string' || typeof value === 'boolean' ? String(value) : '';
}
