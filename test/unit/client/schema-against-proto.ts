import { loadSync } from '@grpc/proto-loader';
import * as z from 'zod';
import { bare, metaOf } from '../../../src/core/resources/field-schemas.ts';
import { upperSnake } from '../../../src/core/resources/message-mapping.ts';

interface ProtoField {
  readonly name: string;
  readonly label: string;
  readonly type: string;
  readonly typeName: string;
}

interface ProtoType {
  readonly name: string;
  readonly field: readonly ProtoField[];
  readonly nestedType: readonly {
    readonly name: string;
    readonly options: { readonly mapEntry: boolean } | null;
  }[];
  readonly oneofDecl: readonly { readonly name: string }[];
}

interface ProtoEnum {
  readonly value: readonly { readonly name: string; readonly number: number }[];
}

const LEAF_TYPES: Readonly<Record<string, readonly string[]>> = {
  int64: ['TYPE_INT64', 'TYPE_UINT64'],
  generation: ['TYPE_INT64', 'TYPE_UINT64'],
  timestamp: ['google.protobuf.Timestamp'],
  struct: ['google.protobuf.Struct'],
  value: ['google.protobuf.Value'],
};

/** Compares a schema with a message of the API, field by field. */
export class SchemaAgainstProto {
  /** What differs, in sentences. */
  readonly differences: string[] = [];
  readonly #types: ReturnType<typeof loadSync>;

  constructor(file: string) {
    this.#types = loadSync(file, { includeDirs: ['proto'] });
  }

  compareMessage(schema: z.core.$ZodType, messageName: string, at: string): void {
    const type = bare(schema);
    if (!(type instanceof z.ZodObject)) {
      this.#differs(at, `is the message ${messageName}, but no object in the schema`);
      return;
    }
    const message = this.#find(messageName) as ProtoType;
    const fields = new Map(message.field.map((field) => [field.name, field]));
    for (const name of Object.keys(type.shape)) {
      if (!fields.has(name)) this.#differs(`${at}.${name}`, `is not in the message ${messageName}`);
    }
    const { oneof } = metaOf(schema);
    if (oneof !== undefined && message.oneofDecl.every(({ name }) => name !== oneof)) {
      this.#differs(at, `is not a oneof ${oneof}`);
    }
    for (const field of fields.values()) {
      const part: z.core.$ZodType | undefined = type.shape[field.name];
      if (part === undefined) this.#differs(`${at}.${field.name}`, 'is not in the schema');
      else this.#compareField(part, field, message, `${at}.${field.name}`);
    }
  }

  #compareField(schema: z.core.$ZodType, field: ProtoField, message: ProtoType, at: string): void {
    const type = bare(schema);
    const isRepeated = field.label === 'LABEL_REPEATED';
    const isMap = message.nestedType.some(
      ({ name, options }) => name === field.typeName && options?.mapEntry === true,
    );
    if (type instanceof z.ZodArray) {
      if (isRepeated && !isMap) this.#compareValue(type.element, field, `${at}[]`);
      else this.#differs(at, 'is a list in the schema only');
    } else if (type instanceof z.ZodRecord && metaOf(schema).leaf === undefined) {
      if (!isMap) this.#differs(at, 'is a map in the schema only');
    } else if (isRepeated) this.#differs(at, 'is a list or map in the proto only');
    else {
      this.#compareValue(schema, field, at);
      this.#comparePresence(schema, field, message, at);
    }
  }

  #compareValue(schema: z.core.$ZodType, field: ProtoField, at: string): void {
    const type = bare(schema);
    const { enumPrefix, leaf } = metaOf(schema);
    const protoType = field.type === 'TYPE_MESSAGE' ? field.typeName : field.type;
    if (enumPrefix !== undefined) this.#compareEnum(type, enumPrefix, field, at);
    else if (type instanceof z.ZodObject) this.compareMessage(schema, field.typeName, at);
    else if (!expectedTypes(type, leaf).includes(protoType)) {
      this.#differs(at, `is ${protoType}, not ${expectedTypes(type, leaf).join(' or ')}`);
    }
  }

  #compareEnum(type: z.core.$ZodType, prefix: string, field: ProtoField, at: string): void {
    if (field.type !== 'TYPE_ENUM' || !(type instanceof z.ZodEnum)) {
      this.#differs(at, 'is an enum on one side only');
      return;
    }
    const names = (this.#find(field.typeName) as ProtoEnum).value.map(({ name }) => name);
    const wanted = [
      `${prefix}_UNSPECIFIED`,
      ...type.options.map((value) => `${prefix}_${upperSnake(String(value))}`),
    ];
    for (const name of wanted) if (!names.includes(name)) this.#differs(at, `lacks ${name}`);
    for (const name of names) if (!wanted.includes(name)) this.#differs(at, `has ${name} besides`);
  }

  /** Of a number or truth value that may be left out, 0 and false must not mean the same as nothing. */
  #comparePresence(
    schema: z.core.$ZodType,
    field: ProtoField,
    message: ProtoType,
    at: string,
  ): void {
    const hasPresence = message.oneofDecl.some(({ name }) => name === `_${field.name}`);
    const mayBeLeftOut =
      schema instanceof z.ZodOptional ||
      schema instanceof z.ZodDefault ||
      schema instanceof z.ZodPrefault;
    const isTold =
      ['TYPE_STRING', 'TYPE_ENUM', 'TYPE_MESSAGE'].includes(field.type) ||
      metaOf(schema).leaf === 'generation';
    if (mayBeLeftOut && !hasPresence && !isTold) {
      this.#differs(at, 'may be left out in the schema, but is not optional in the proto');
    }
    if (!mayBeLeftOut && hasPresence) {
      this.#differs(at, 'is required in the schema, but optional in the proto');
    }
  }

  #find(name: string): unknown {
    const found = this.#types[name] ?? this.#types[`novacron.agent.v1.${name}`];
    if (found === undefined || !('type' in found)) throw new Error(`There is no type ${name}`);
    return found.type;
  }

  #differs(at: string, what: string): void {
    this.differences.push(`${at} ${what}`);
  }
}

function expectedTypes(type: z.core.$ZodType, leaf: string | undefined): readonly string[] {
  if (leaf !== undefined) return LEAF_TYPES[leaf] ?? [];
  if (type instanceof z.ZodBoolean) return ['TYPE_BOOL'];
  if (type instanceof z.ZodNumber)
    return type.format === 'safeint' ? ['TYPE_UINT32'] : ['TYPE_DOUBLE'];
  return ['TYPE_STRING'];
}
