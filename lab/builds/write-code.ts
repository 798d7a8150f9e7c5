import { writeFile } from 'node:fs/promises';
import { codeFile, loadProgram } from '../../src/core/program-code.ts';

/* Loads a program and writes what V8 has compiled for that beside it. */

const [program = ''] = process.argv.slice(2);
await writeFile(codeFile(program), loadProgram(program).createCode());
