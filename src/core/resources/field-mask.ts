import { AgentError } from '../errors.ts';
import { isRecord } from '../is-record.ts';
import * as z from '../zod.ts';
import { bare } from './field-schemas.ts';

type Document = Readonly<Record<string, unknown>>;

/**
 * `current` with the fields of a mask taken from `wanted`; a field that `wanted` does not have is removed. Lists are taken
 * whole (google.protobuf.FieldMask, https://protobuf.dev/reference/protobuf/google.protobuf/#field-mask). Fails with
 * INVALID_REQUEST for a path that the schema does not have.
 */
export function withMaskedFields(
  current: Document,
  wanted: Document,
  mask: readonly string[],
  schema: z.core.$ZodType,
): Document {
  let result = current;
  for (const path of mask) {
    const keys = keysOf(schema, path);
    if (keys === undefined) {
      throw new AgentError(
        'INVALID_REQUEST',
        `Cannot change the field ${JSON.stringify(path)}: there is none of that name outside of lists; name fields as the manifest does, such as spec.template.spec.resources.memory`,
        { violations: [{ field: 'updateMask', description: `names the unknown field ${path}` }] },
      );
    }
    result = withField(result, keys, valueAt(wanted, keys));
  }
  return result;
}

function withField(document: Document, keys: readonly string[], value: unknown): Document {
  const [key = '', ...rest] = keys;
  const { [key]: old, ...others } = document;
  const changed = rest.length === 0 ? value : withField(recordOr(old), rest, value);
  return changed === undefined ? others : { ...others, [key]: changed };
}

function valueAt(document: Document, keys: readonly string[]): unknown {
  return keys.reduce<unknown>((value, key) => recordOr(value)[key], document);
}

function recordOr(value: unknown): Document {
  return isRecord(value) ? value : {};
}

/** The keys that a path leads through; undefined if the schema does not have it. */
function keysOf(schema: z.core.$ZodType, path: string): readonly string[] | undefined {
  const keys: string[] = [];
  let type: z.core.$ZodType = bare(schema);
  for (const part of path.split('.')) {
    if (type instanceof z.ZodRecord) {
      keys.push(part);
      type = bare(type.valueType);
      continue;
    }
    const key = manifestName(part);
    if (!(type instanceof z.ZodObject) || !Object.hasOwn(type.shape, key)) return undefined;
    keys.push(key);
    type = bare(type.shape[key] as z.core.$ZodType);
  }
  return keys;
}

/** Libraries that know field masks send the proto's names (`user_data`), however their caller has written them. */
export function manifestName(name: string): string {
  return name.replaceAll(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());
}
