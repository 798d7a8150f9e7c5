#!/usr/bin/env node
// An older Node cannot even parse the rest, so this file loads nothing of ours before it has looked.
import { createRequire } from 'node:module';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (major > 24 || (major === 24 && minor >= 12)) {
  createRequire(import.meta.url)(import.meta.url.endsWith('.ts') ? './novactl.ts' : './novactl.js');
} else {
  process.stderr.write(
    `novactl needs Node.js 24.12 or newer; ${process.execPath} is ${process.version}\n`,
  );
  process.exitCode = 2;
}
