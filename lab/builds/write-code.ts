import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import {
  codeFile,
  compileProgram,
  runProgram,
  sealCode,
  toSource,
} from '../../src/core/program-code.ts';

/*
 * Loads a program and writes what V8 has compiled for that beside it. With words for the program it is started with them first: then what
 * those load is among it. The same bytes wherever the program lies: V8 keeps the name that it is given.
 */

const [program = '', ...words] = process.argv.slice(2);
const bytes = readFileSync(program);
// Or functions bear marks of the machine code that V8 makes of them, which is a matter of time.
setFlagsFromString('--no-sparkplug');
const script = compileProgram(toSource(bytes), path.basename(program));
const exports = runProgram(script, program);
if (words.length > 0) {
  process.argv.splice(1, Infinity, program, ...words);
  await (exports as { start: (prepared: undefined) => Promise<void> }).start(undefined);
}
// V8 takes code by programs of the same flags.
setFlagsFromString('--sparkplug');
// At once: novactl has itself replaced by a shell when it is done.
writeFileSync(codeFile(program), sealCode(bytes, script.createCachedData()));
process.exit(0);
