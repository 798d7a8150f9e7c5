import { isDeepStrictEqual } from 'node:util';
import { isRecord } from '../is-record.ts';
import { fieldPath } from './schema-issues.ts';

/** One field that differs between two documents. */
export interface FieldDifference {
  /** As the manifest writes it; items of a list that have names are compared by name and shown by place. */
  readonly field: string;
  /** Undefined where it is not set. */
  readonly before: unknown;
  readonly after: unknown;
}

/** Every field that differs, as deep as both sides have it. */
export function fieldChanges(
  before: unknown,
  after: unknown,
  at: readonly PropertyKey[] = [],
): FieldDifference[] {
  if (isDeepStrictEqual(withoutUndefined(before), withoutUndefined(after))) return [];
  if (isRecord(before) && isRecord(after)) {
    const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return keys.flatMap((key) => fieldChanges(before[key], after[key], [...at, key]));
  }
  // A list without items may as well be left out.
  const [old, items] = [before ?? [], after ?? []];
  if (hasNames(old) && hasNames(items)) return namedChanges(old, items, at);
  return [{ field: fieldPath(at), before, after }];
}

interface Named {
  readonly name: string;
}

function namedChanges(
  before: readonly Named[],
  after: readonly Named[],
  at: readonly PropertyKey[],
): FieldDifference[] {
  const kept = after.flatMap((item, index) => {
    const old = before.find(({ name }) => name === item.name);
    return fieldChanges(old, item, [...at, index]);
  });
  const removed = before.flatMap((item, index) =>
    after.some(({ name }) => name === item.name)
      ? []
      : [{ field: fieldPath([...at, index]), before: item, after: undefined }],
  );
  const changes = [...kept, ...removed];
  // The same items in another order.
  return changes.length > 0 ? changes : [{ field: fieldPath(at), before, after }];
}

function hasNames(value: unknown): value is readonly Named[] {
  return (
    Array.isArray(value) &&
    value.every((item) => isRecord(item) && typeof item['name'] === 'string')
  );
}

/** A key without a value is the same as no key. */
function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (!isRecord(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, part]) => part !== undefined)
      .map(([key, part]) => [key, withoutUndefined(part)]),
  );
}
