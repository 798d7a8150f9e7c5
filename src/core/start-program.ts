import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { loadProgram } from './program-code.ts';
import { siblingModule } from './sibling-module.ts';

export interface ProgramStart<Prepared> {
  /** For messages. */
  readonly name: string;
  /** The `import.meta.url` of the program's first file. */
  readonly url: string;
  /** The module beside it that is the program: it exports `start`. */
  readonly module: string;
  /** What can go on while the program is loaded; `start` is given what it returns. */
  readonly prepare: () => Prepared;
}

/**
 * Starts a program, unless this Node is too old for it: that could not even parse it, so whoever calls this loads nothing else
 * that is new.
 */
export function startProgram<Prepared>(options: ProgramStart<Prepared>): void {
  const { name, url, module } = options;
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 24 || (major === 24 && minor >= 12)) {
    const prepared = options.prepare();
    const file = fileURLToPath(siblingModule(url, module));
    const { start } = load(file) as { start: (prepared: Prepared) => void };
    start(prepared);
    return;
  }
  process.stderr.write(
    `${name} needs Node.js 24.12 or newer; ${process.execPath} is ${process.version}; ${wayOn(url)}\n`,
  );
  process.exitCode = 2;
}

function load(file: string): unknown {
  return file.endsWith('.ts') ? createRequire(file)(file) : loadProgram(file).exports;
}

/** A checkout has the right one among its packages. */
function wayOn(url: string): string {
  const own = fileURLToPath(new URL(`../../node_modules/node-linux-${process.arch}/bin`, url));
  return existsSync(own)
    ? `there is one here: PATH=${own}:$PATH`
    : 'get one from https://nodejs.org, and put it first in PATH';
}
