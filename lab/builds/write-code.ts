import { writeFile } from 'node:fs/promises';
import { codeFile, loadProgram } from '../../src/core/program-code.ts';

/*
 * Loads a program and writes what V8 has compiled for that beside it. With words for the program it is started with them first: then what
 * those load is among it.
 */

const [program = '', ...words] = process.argv.slice(2);
const loaded = loadProgram(program);
if (words.length > 0) {
  process.argv.splice(1, Infinity, program, ...words);
  await (loaded.exports as { start: (prepared: undefined) => Promise<void> }).start(undefined);
}
await writeFile(codeFile(program), loaded.createCode());
process.exit(0);
