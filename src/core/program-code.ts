import { readFileSync } from 'node:fs';
import { createRequire, Module } from 'node:module';
import path from 'node:path';
import { constants, Script } from 'node:vm';
import { crc32 } from 'node:zlib';

/** A program that is built into one file of CommonJS. */
export interface LoadedProgram {
  readonly exports: unknown;
  /** Whether there was code beside it that is of this source and this V8. */
  readonly hadCode: boolean;
}

/** Before the code: the checksums of the source and of the code itself, as V8 looks only for its version and the source's length. */
const HEADER_BYTES = 8;

/** Where what V8 has compiled of a program is, beside it. */
export function codeFile(program: string): string {
  return `${program}.code`;
}

/**
 * Loads a program, and runs what it does at its beginning. With its code beside it V8 has nothing to parse: half of the time and 9 MiB
 * for the agent. Code of another source, of another V8 or damaged is left alone.
 */
export function loadProgram(file: string): LoadedProgram {
  const bytes = readFileSync(file);
  const code = readCode(bytes, codeFile(file));
  const script = compileProgram(toSource(bytes), file, code);
  const hadCode = script.cachedDataRejected === false;
  return { exports: runProgram(script, file), hadCode };
}

/** What is compiled of a program's file, whose letters are all of one byte where it is built. */
export function toSource(program: Buffer): string {
  return Module.wrap(program.toString('latin1'));
}

/** `name` is what stack traces call it. */
export function compileProgram(source: string, name: string, code?: Buffer): Script {
  return new Script(source, {
    filename: name,
    cachedData: code,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
}

export function runProgram(script: Script, file: string): unknown {
  const run = script.runInThisContext() as (...values: readonly unknown[]) => void;
  const module = { exports: {} };
  run(module.exports, createRequire(file), module, file, path.dirname(file));
  return module.exports;
}

/** What `loadProgram` takes for the program's code. */
export function sealCode(program: Buffer, code: Buffer): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(crc32(program), 0);
  header.writeUInt32LE(crc32(code), 4);
  return Buffer.concat([header, code]);
}

function readCode(program: Buffer, file: string): Buffer | undefined {
  let sealed: Buffer;
  try {
    sealed = readFileSync(file);
  } catch {
    return undefined;
  }
  if (sealed.length <= HEADER_BYTES) return undefined;
  const code = sealed.subarray(HEADER_BYTES);
  const isWhole =
    sealed.readUInt32LE(0) === crc32(program) && sealed.readUInt32LE(4) === crc32(code);
  return isWhole ? code : undefined;
}
