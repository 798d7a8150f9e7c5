import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { siblingModule } from './sibling-module.ts';

/**
 * Loads the module that is a program, beside the one whose `import.meta.url` is given, unless this Node is too old for it: that
 * could not even parse it, so whoever calls this loads nothing else of ours.
 */
export function startProgram(name: string, url: string, module: string): void {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major > 24 || (major === 24 && minor >= 12)) {
    createRequire(url)(fileURLToPath(siblingModule(url, module)));
    return;
  }
  process.stderr.write(
    `${name} needs Node.js 24.12 or newer; ${process.execPath} is ${process.version}; ${wayOn(url)}\n`,
  );
  process.exitCode = 2;
}

/** A checkout has the right one among its packages. */
function wayOn(url: string): string {
  const own = fileURLToPath(new URL(`../../node_modules/node-linux-${process.arch}/bin`, url));
  return existsSync(own)
    ? `there is one here: PATH=${own}:$PATH`
    : 'get one from https://nodejs.org, and put it first in PATH';
}
