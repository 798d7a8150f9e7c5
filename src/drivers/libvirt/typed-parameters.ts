import { copyMemory, readText } from './c-memory.ts';
import type { TypedParametersPointer } from './native-pointers.ts';

// libvirt-common.h: struct _virTypedParameter { char field[80]; int type; union value; }, padded to 96 bytes.
const PARAMETER_BYTES = 96;
const TYPE_OFFSET = 80;
const VALUE_OFFSET = 88;
// libvirt-common.h: virTypedParameterType
const TYPE_STRING = 7;

type ParameterValue = number | bigint | boolean;
export type Parameters = ReadonlyMap<string, ParameterValue>;

export type TextParameters = ReadonlyMap<string, ParameterValue | string>;

/** Reads libvirt's typed parameters. Strings are left out: see `readAllParameters`. */
export function readParameters(pointer: TypedParametersPointer | null, count: number): Parameters {
  if (pointer === null || count === 0) return new Map();
  return decodeParameters(copyMemory(pointer, count * PARAMETER_BYTES));
}

export function decodeParameters(memory: Buffer): Parameters {
  const parameters = new Map<string, ParameterValue>();
  for (let start = 0; start + PARAMETER_BYTES <= memory.length; start += PARAMETER_BYTES) {
    const value = decodeValue(memory, start);
    if (value === undefined) continue;
    parameters.set(nameAt(memory, start), value);
  }
  return parameters;
}

/** Reads libvirt's typed parameters with the strings among them, which are still libvirt's memory. */
export function readAllParameters(
  pointer: TypedParametersPointer | null,
  count: number,
): TextParameters {
  if (pointer === null || count === 0) return new Map();
  const memory = copyMemory(pointer, count * PARAMETER_BYTES);
  const parameters = new Map<string, ParameterValue | string>(decodeParameters(memory));
  for (let start = 0; start + PARAMETER_BYTES <= memory.length; start += PARAMETER_BYTES) {
    if (memory.readInt32LE(start + TYPE_OFFSET) !== TYPE_STRING) continue;
    const text = memory.readBigUInt64LE(start + VALUE_OFFSET);
    if (text !== 0n) parameters.set(nameAt(memory, start), readText(text));
  }
  return parameters;
}

function nameAt(memory: Buffer, start: number): string {
  const end = memory.indexOf(0, start);
  return memory.toString('latin1', start, Math.min(end, start + TYPE_OFFSET));
}

// libvirt-common.h: virTypedParameterType
function decodeValue(memory: Buffer, start: number): ParameterValue | undefined {
  const offset = start + VALUE_OFFSET;
  switch (memory.readInt32LE(start + TYPE_OFFSET)) {
    case 1:
      return memory.readInt32LE(offset);
    case 2:
      return memory.readUInt32LE(offset);
    case 3:
      return memory.readBigInt64LE(offset);
    case 4:
      return memory.readBigUInt64LE(offset);
    case 5:
      return memory.readDoubleLE(offset);
    case 6:
      return memory[offset] !== 0;
    default:
      return undefined;
  }
}

/** A parameter as a number; undefined if it is missing. Exact up to 2^53. */
export function findNumber(parameters: Parameters, name: string): number | undefined {
  const value = parameters.get(name);
  return value === undefined ? undefined : Number(value);
}

/** A parameter as a number; 0 if it is missing. Exact up to 2^53. */
export function numberOf(parameters: TextParameters, name: string): number {
  return Number(parameters.get(name) ?? 0);
}

/** A parameter as a bigint; 0 if it is missing. */
export function bigintOf(parameters: TextParameters, name: string): bigint {
  return BigInt(parameters.get(name) ?? 0);
}
