import { z } from 'zod';
import { bare, type FieldMeta, metaOf } from './field-schemas.ts';

/** The enums of the API's generated code by the start of their values' names: `{ VOLUME_BUS: VolumeBus }`. */
export type EnumTables = Readonly<Record<string, Readonly<Record<string, number>>>>;

type Plain = Readonly<Record<string, unknown>>;

/**
 * Leads objects in the form of the manifest to the API's messages and back, field by field as their schema says. A
 * field of the same name in schema and message needs no line of code. What a message leaves empty is left out.
 */
export class MessageMapping {
  readonly #enums: EnumTables;

  constructor(enums: EnumTables) {
    this.#enums = enums;
  }

  /** The message for an object that its schema has accepted, defaults and all. */
  toMessage(schema: z.core.$ZodType, value: unknown): unknown {
    return this.#toMessage(schema, value, {});
  }

  /** What a message says, in the form of the manifest, not yet checked: unknown enum values become text that no schema takes. */
  fromMessage(schema: z.core.$ZodType, message: unknown): unknown {
    return this.#fromMessage(schema, message, {});
  }

  #toMessage(schema: z.core.$ZodType, value: unknown, outer: FieldMeta): unknown {
    const meta = { ...metaOf(schema), ...outer };
    const type = bare(schema);
    if (meta.enumPrefix !== undefined) return this.#toEnum(meta.enumPrefix, value);
    if (type instanceof z.ZodObject) return this.#toObject(type, value as Plain | undefined, meta);
    if (type instanceof z.ZodArray) {
      return ((value ?? []) as readonly unknown[]).map((item) =>
        this.#toMessage(type.element, item, {}),
      );
    }
    if (meta.leaf === 'struct') return value;
    if (type instanceof z.ZodRecord) return { ...(value as Plain | undefined) };
    if (value === undefined) return undefined;
    if (meta.leaf === 'int64' || meta.leaf === 'generation') return BigInt(value as number);
    if (meta.leaf === 'timestamp') return toTimestamp(value as string);
    return value;
  }

  #toObject(type: z.ZodObject, value: Plain | undefined, meta: FieldMeta): unknown {
    if (value === undefined) return undefined;
    const fields = Object.entries<z.core.$ZodType>(type.shape);
    if (meta.oneof === undefined) {
      return Object.fromEntries(
        fields.map(([key, field]) => [key, this.#toMessage(field, value[key], {})]),
      );
    }
    const chosen = fields.find(([key]) => value[key] !== undefined);
    if (chosen === undefined) return { [meta.oneof]: undefined };
    const [key, field] = chosen;
    return { [meta.oneof]: { $case: key, value: this.#toMessage(field, value[key], {}) } };
  }

  #fromMessage(schema: z.core.$ZodType, message: unknown, outer: FieldMeta): unknown {
    const meta = { ...metaOf(schema), ...outer };
    const type = bare(schema);
    if (message === undefined || message === null || message === '') return undefined;
    if (meta.enumPrefix !== undefined)
      return this.#fromEnum(type, meta.enumPrefix, message as number);
    if (type instanceof z.ZodObject) return this.#fromObject(type, message as Plain, meta);
    if (type instanceof z.ZodArray) {
      const items = message as readonly unknown[];
      if (items.length === 0) return undefined;
      return items.map((item) => this.#fromMessage(type.element, item, {}) ?? item);
    }
    if (meta.leaf === 'struct') return message;
    if (type instanceof z.ZodRecord) {
      return Object.keys(message as Plain).length === 0 ? undefined : { ...(message as Plain) };
    }
    if (meta.leaf === 'int64') return Number(message);
    if (meta.leaf === 'generation') return message === 0n ? undefined : Number(message);
    if (meta.leaf === 'timestamp') return fromTimestamp(message as Timestamp);
    return message;
  }

  #fromObject(type: z.ZodObject, message: Plain, meta: FieldMeta): unknown {
    const fields = type.shape as Readonly<Record<string, z.core.$ZodType>>;
    const entries = Object.entries(fields);
    if (meta.oneof !== undefined) {
      const chosen = message[meta.oneof] as { $case: string; value: unknown } | undefined;
      const field = chosen === undefined ? undefined : fields[chosen.$case];
      if (chosen === undefined || field === undefined) return {};
      return { [chosen.$case]: this.#fromMessage(field, chosen.value, {}) ?? {} };
    }
    return Object.fromEntries(
      entries
        .map(([key, field]): [string, unknown] => [key, this.#fromMessage(field, message[key], {})])
        .filter(([, value]) => value !== undefined),
    );
  }

  #toEnum(prefix: string, value: unknown): number {
    if (value === undefined) return 0;
    return this.#table(prefix)[`${prefix}_${upperSnake(String(value))}`] ?? 0;
  }

  #fromEnum(type: z.core.$ZodType, prefix: string, number: number): string | undefined {
    if (number === 0) return undefined;
    const values = type instanceof z.ZodEnum ? type.options.map(String) : [];
    return values.find((value) => this.#toEnum(prefix, value) === number) ?? `${prefix}(${number})`;
  }

  #table(prefix: string): Readonly<Record<string, number>> {
    const table = this.#enums[prefix];
    if (table === undefined) throw new Error(`No enum of the API begins with ${prefix}`);
    return table;
  }
}

/** `RerunOnFailure` and `sr-iov` as names of enum values: `RERUN_ON_FAILURE`, `SR_IOV`. */
function upperSnake(value: string): string {
  return value
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toUpperCase();
}

interface Timestamp {
  readonly seconds: bigint;
  readonly nanos: number;
}

function toTimestamp(text: string): Timestamp {
  const ms = Date.parse(text);
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1e6 };
}

function fromTimestamp({ seconds, nanos }: Timestamp): string {
  return new Date(Number(seconds) * 1000 + Math.floor(nanos / 1e6)).toISOString();
}
