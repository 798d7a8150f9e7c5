import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { relativeImports } from './relative-imports.ts';

/**
 * Which part may import which; a part may always import itself.
 * `drivers` are the contracts (src/drivers/*.ts), `drivers/x` one technology's folder.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  gen: [],
  drivers: ['core'],
  'drivers/*': ['core', 'drivers'],
  agent: ['core', 'drivers', 'client'],
  'agent/rpc': ['core', 'gen', 'agent', 'client'],
  'agent/main.ts': ['core', 'drivers/*', 'agent'],
  'agent/daemon.ts': ['core', 'client', 'drivers', 'drivers/*', 'agent', 'agent/rpc'],
  client: ['core', 'gen'],
  cli: ['core', 'client'],
  operator: ['core', 'client'],
};

/** The part a file belongs to: its own entry in the table, or else its top folder. */
function partOf(file: string): string {
  const [, top = '', next = ''] = file.split('/');
  if (top === 'drivers' && !next.endsWith('.ts')) return `drivers/${next}`;
  return `${top}/${next}` in MAY_IMPORT ? `${top}/${next}` : top;
}

function kindOf(part: string): string {
  return part.replace(/^drivers\/.*/, 'drivers/*');
}

function allowed(from: string, to: string): boolean {
  return from === to || (MAY_IMPORT[kindOf(from)] ?? []).includes(kindOf(to));
}

test('imports of every form are seen', () => {
  const source = `
    import { a } from './a.ts';
    import './b.ts';
    export { c } from '../c.ts';
    const d = await import('../d.ts');
    const e = await import(
      './e.ts'
    );
    import fs from 'node:fs';
  `;
  const expected = ['./a.ts', './b.ts', '../c.ts', '../d.ts', './e.ts'];
  assert.deepEqual(relativeImports(source), expected);
});

test('imports follow the layers', () => {
  const files = globSync('src/**/*.ts');
  assert.notEqual(files.length, 0);
  const wrong = files.flatMap((file) =>
    relativeImports(readFileSync(file, 'utf8'))
      .map((target) => path.posix.join(path.posix.dirname(file), target))
      .filter((target) => !allowed(partOf(file), partOf(target)))
      .map((target) => `${file} -> ${target}`),
  );
  assert.deepEqual(wrong, []);
});

test('a recorded version imports nothing but its own files', () => {
  const files = globSync('test/compatibility/version-*/*.ts');
  assert.notEqual(files.length, 0);
  const wrong = files.filter((file) =>
    relativeImports(readFileSync(file, 'utf8')).some((target) => !target.startsWith('./')),
  );
  assert.deepEqual(wrong, []);
});
