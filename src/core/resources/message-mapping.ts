import type { LeafForm, MessageForm } from './message-form.ts';

/** The enums of the API's generated code by the start of their values' names: `{ VOLUME_BUS: VolumeBus }`. */
export type EnumTables = Readonly<Record<string, Readonly<Record<string, number>>>>;

type Plain = Readonly<Record<string, unknown>>;

/** How one kind of value is led to a message and back. */
interface Converter {
  /** Undefined where a manifest leaves it out. */
  toMessage(value: unknown): unknown;
  /** Undefined where a message leaves it empty. */
  fromMessage(message: unknown): unknown;
}

/**
 * Leads objects in the form of the manifest to the API's messages and back, field by field as their schema says. A
 * field of the same name in schema and message needs no line of code. What a message leaves empty is left out.
 */
export class MessageMapping {
  readonly #enums: EnumTables;
  readonly #converters = new Map<MessageForm, Converter>();

  constructor(enums: EnumTables) {
    this.#enums = enums;
  }

  /** The message for an object that its schema has accepted, defaults and all. */
  toMessage(form: MessageForm, value: unknown): unknown {
    return this.#converterFor(form).toMessage(value);
  }

  /** What a message says, in the form of the manifest, not yet checked: unknown enum values become text that no schema takes. */
  fromMessage(form: MessageForm, message: unknown): unknown {
    return this.#converterFor(form).fromMessage(message);
  }

  #converterFor(form: MessageForm): Converter {
    const known = this.#converters.get(form);
    if (known !== undefined) return known;
    const made = this.#makeConverter(form);
    this.#converters.set(form, made);
    return made;
  }

  #makeConverter(form: MessageForm): Converter {
    if (typeof form === 'string') return LEAVES[form];
    if ('enumPrefix' in form) return this.#enumConverter(form.enumPrefix, form.values);
    if ('items' in form) return listOf(this.#converterFor(form.items));
    const fields = Object.entries(form.fields).map(([key, field]) => {
      return { key, converter: this.#converterFor(field) };
    });
    return form.oneof === undefined ? objectOf(fields) : oneofOf(fields, form.oneof);
  }

  #enumConverter(prefix: string, values: readonly string[]): Converter {
    const table = this.#enums[prefix];
    if (table === undefined) throw new Error(`No enum of the API begins with ${prefix}`);
    const numbers = new Map(
      values.map((value) => [value, table[`${prefix}_${upperSnake(value)}`] ?? 0]),
    );
    const words = new Map([...numbers].map(([value, number]) => [number, value]));
    return {
      toMessage: (value) => numbers.get(String(value)) ?? 0,
      fromMessage: (message) => {
        if (message === 0 || message === undefined) return undefined;
        return words.get(message as number) ?? `${prefix}(${message as number})`;
      },
    };
  }
}

const PLAIN: Converter = {
  toMessage: (value) => value,
  fromMessage: (message) => (message === '' ? undefined : message),
};

const MAP: Converter = {
  toMessage: (value) => ({ ...(value as Plain | undefined) }),
  fromMessage: (message) =>
    message === undefined || Object.keys(message as Plain).length === 0
      ? undefined
      : { ...(message as Plain) },
};

const LEAVES: Readonly<Record<LeafForm, Converter>> = {
  plain: PLAIN,
  map: MAP,
  struct: PLAIN,
  value: { toMessage: (value) => value, fromMessage: (message) => message },
  int64: {
    toMessage: (value) => (value === undefined ? 0n : BigInt(value as number)),
    fromMessage: (message) => (message === undefined ? undefined : Number(message)),
  },
  generation: {
    toMessage: (value) => BigInt((value as number | undefined) ?? 0),
    fromMessage: (message) => (message ? Number(message) : undefined),
  },
  timestamp: {
    toMessage: (value) => (value === undefined ? undefined : toTimestamp(value as string)),
    fromMessage: (message) =>
      message === undefined ? undefined : fromTimestamp(message as Timestamp),
  },
};

/** Objects, as to take pairs apart costs a program that has just started most of the time that it converts in. */
type Fields = readonly { readonly key: string; readonly converter: Converter }[];

function objectOf(fields: Fields): Converter {
  return {
    toMessage(value) {
      if (value === undefined) return undefined;
      const message: Record<string, unknown> = {};
      for (const { key, converter } of fields) {
        message[key] = converter.toMessage((value as Plain)[key]);
      }
      return message;
    },
    fromMessage(message) {
      if (message === undefined) return undefined;
      const value: Record<string, unknown> = {};
      for (const { key, converter } of fields) {
        const part = (message as Plain)[key];
        if (part === undefined) continue;
        const converted = converter.fromMessage(part);
        if (converted !== undefined) value[key] = converted;
      }
      return value;
    },
  };
}

function oneofOf(fields: Fields, name: string): Converter {
  return {
    toMessage(value) {
      if (value === undefined) return undefined;
      const chosen = fields.find(({ key }) => (value as Plain)[key] !== undefined);
      if (chosen === undefined) return { [name]: undefined };
      const { key, converter } = chosen;
      return { [name]: { $case: key, value: converter.toMessage((value as Plain)[key]) } };
    },
    fromMessage(message) {
      if (message === undefined) return undefined;
      const choice = (message as Plain)[name] as { $case: string; value: unknown } | undefined;
      const chosen = fields.find(({ key }) => key === choice?.$case);
      if (choice === undefined || chosen === undefined) return {};
      return { [choice.$case]: chosen.converter.fromMessage(choice.value) ?? {} };
    },
  };
}

function listOf(item: Converter): Converter {
  return {
    toMessage: (value) => ((value ?? []) as readonly unknown[]).map((part) => item.toMessage(part)),
    fromMessage(message) {
      const parts = (message ?? []) as readonly unknown[];
      // An empty text in a list is an item that the schema shall see.
      return parts.length === 0 ? undefined : parts.map((part) => item.fromMessage(part) ?? part);
    },
  };
}

/** `RerunOnFailure` and `sr-iov` as names of enum values: `RERUN_ON_FAILURE`, `SR_IOV`. */
export function upperSnake(value: string): string {
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
  const ms = Date.parse(text) || 0;
  const seconds = Math.floor(ms / 1000);
  return { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1e6 };
}

function fromTimestamp({ seconds, nanos }: Timestamp): string | undefined {
  const date = new Date(Number(seconds) * 1000 + Math.floor(nanos / 1e6));
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}
