/*
 * Calls of C functions as call-threads.c takes them: the address of the function, its arguments, and behind them what pointers
 * among these lead to. Numbers are whole ones of up to 64 bits; nothing that libvirt offers takes others.
 */

/** What C writes its result to. */
export type Out<T> = [T | null];

interface Parameter {
  readonly kind: 'value' | 'text' | 'out';
  readonly type: NumberType;
}

type NumberType = 'i32' | 'u32' | 'u64' | 'pointer';

/** What a function of C takes and gives. */
export interface Prototype {
  readonly name: string;
  readonly result: NumberType | 'owned-text';
  readonly parameters: readonly Parameter[];
}

/** More than any function takes that is called here. */
const MAX_ARGUMENTS = 8;

const WORD_BYTES = 8;
const HEAD_WORDS = 2;
const ARGUMENT_WORDS = 2;
const ARGUMENT_VALUE = 0n;
const ARGUMENT_OFFSET = 1n;

const NUMBER_TYPES: Readonly<Record<string, NumberType>> = {
  int: 'i32',
  'unsigned int': 'u32',
  'unsigned long': 'u64',
  'unsigned long long': 'u64',
  'void *': 'pointer',
};

/** Reads a prototype as it stands in C; `_Out_` marks what the function writes to, `OwnedText` what the caller is to free. */
export function parsePrototype(prototype: string): Prototype {
  const match = /^(.+?)(\w+)\((.*)\)$/.exec(prototype);
  if (match === null) throw new Error(`Not a prototype: ${prototype}`);
  const [, result = '', name = '', list = ''] = match;
  const parameters = list === '' ? [] : list.split(',').map(parseParameter);
  if (parameters.length > MAX_ARGUMENTS) throw new Error(`Too many parameters: ${prototype}`);
  const isText = result.trim() === 'OwnedText';
  return { name, parameters, result: isText ? 'owned-text' : numberType(result) };
}

function parseParameter(text: string): Parameter {
  const [, out, type = '', stars = ''] = /^\s*(_Out_ )?(.+?)(\**)\w+\s*$/.exec(text) ?? [];
  if (out !== undefined) return { kind: 'out', type: numberType(`${type}${stars.slice(1)}`) };
  if (type.trim() === 'const char') return { kind: 'text', type: 'pointer' };
  return { kind: 'value', type: numberType(`${type}${stars}`) };
}

function numberType(text: string): NumberType {
  const type = NUMBER_TYPES[text.trim()];
  if (type === undefined) throw new Error(`Not a type of these calls: ${text}`);
  return type;
}

/** Memory is handed over as a copy; what C writes to that is copied back. */
export type Argument = bigint | number | string | null | Out<unknown> | NodeJS.TypedArray;

/** The bytes of a call. */
export function encodeCall(
  address: bigint,
  { name, parameters }: Prototype,
  values: readonly Argument[],
): Buffer {
  if (values.length !== parameters.length) throw new Error(`${name}: wrong number of arguments`);
  const body = values.map(bodyOf);
  const headBytes = offsetOfBodies(parameters.length);
  const bytes = headBytes + body.reduce((sum, part) => sum + aligned(part?.length ?? 0), 0);
  const call = Buffer.alloc(bytes);
  call.writeBigUInt64LE(address, 0);
  call.writeBigUInt64LE(BigInt(parameters.length), WORD_BYTES);
  let offset = headBytes;
  for (const [index, part] of body.entries()) {
    const at = (HEAD_WORDS + index * ARGUMENT_WORDS) * WORD_BYTES;
    call.writeBigUInt64LE(part === undefined ? ARGUMENT_VALUE : ARGUMENT_OFFSET, at);
    const value = part === undefined ? toWord(values[index] as bigint | number | null) : offset;
    call.writeBigUInt64LE(BigInt(value), at + WORD_BYTES);
    if (part === undefined) continue;
    part.copy(call, offset);
    offset += aligned(part.length);
  }
  return call;
}

/** Puts what the function has written where its caller looks for it. `call` is what has come back. */
export function readOutputs(
  call: Buffer,
  { parameters }: Prototype,
  values: readonly Argument[],
): void {
  let offset = offsetOfBodies(parameters.length);
  for (const [index, { kind, type }] of parameters.entries()) {
    const value = values[index];
    if (kind === 'out') (value as Out<unknown>)[0] = toNumber(call.readBigUInt64LE(offset), type);
    const body = value === undefined ? undefined : bodyOf(value);
    if (ArrayBuffer.isView(value)) copyInto(value, call, offset);
    offset += aligned(body?.length ?? 0);
  }
}

function copyInto(
  { buffer, byteOffset, byteLength }: NodeJS.TypedArray,
  call: Buffer,
  at: number,
): void {
  call.copy(new Uint8Array(buffer, byteOffset, byteLength), 0, at, at + byteLength);
}

/** A word as a function has returned it; NULL is null. */
export function toNumber(word: bigint, type: NumberType): number | bigint | null {
  switch (type) {
    case 'i32':
      return Number(BigInt.asIntN(32, word));
    case 'u32':
      return Number(BigInt.asUintN(32, word));
    case 'u64':
      return Number(word);
    default:
      return word === 0n ? null : word;
  }
}

/** What a pointer among the arguments leads to; undefined for an argument that is itself all. */
function bodyOf(value: Argument): Buffer | undefined {
  if (typeof value === 'string') return Buffer.from(`${value}\0`);
  if (Array.isArray(value)) return Buffer.alloc(WORD_BYTES);
  if (ArrayBuffer.isView(value)) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }
  return undefined;
}

function toWord(value: bigint | number | null): bigint {
  return BigInt.asUintN(64, BigInt(value ?? 0));
}

function offsetOfBodies(parameters: number): number {
  return (HEAD_WORDS + parameters * ARGUMENT_WORDS) * WORD_BYTES;
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / WORD_BYTES) * WORD_BYTES;
}
