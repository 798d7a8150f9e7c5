#!/usr/bin/env node
// An older Node cannot even parse the rest, so this file imports nothing before it has looked.
const major = Number(process.versions.node.split('.')[0]);

if (major >= 24) {
  await import('./novactl.ts');
} else {
  process.stderr.write(
    `novactl needs Node.js 24 or newer; ${process.execPath} is ${process.version}\n`,
  );
  process.exitCode = 2;
}
