import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

/** Where nothing else is known of a VM: libvirt has it and nobody has read it. */
const ALLOWED = ['src/drivers/libvirt/driver-calls.ts'];

test('no sentence calls a VM by its uid', () => {
  const found = globSync('src/**/*.ts')
    .filter((file) => !ALLOWED.includes(file))
    .filter((file) => /VM \$\{[^}]*[uU]id\}/.test(readFileSync(file, 'utf8')));
  assert.deepEqual(found, []);
});
