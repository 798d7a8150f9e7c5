import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { inProject } from '../../../lab/core/project.ts';
import { tryRun } from '../../../lab/core/run-command.ts';
import { NOVACTL_FLAGS } from '../../../lab/node/novactl-program.ts';

/* What `npm run build` makes, as it stands. */

const PROGRAMS = [
  { name: 'novacron-agent', file: inProject('dist/agent/main.js'), version: ['--version'] },
  { name: 'novactl', file: inProject('dist/cli/main.js'), version: ['version', '--client'] },
];
const OLD = "Object.defineProperty(process, 'versions', { value: { node: '20.19.0' } })";

test('novactl by its own name has the flags that its package gives it', async () => {
  const [first] = (await readFile(inProject('dist/cli/main.js'), 'utf8')).split('\n');
  assert.equal(first, `#!/usr/bin/env -S node ${NOVACTL_FLAGS.join(' ')}`);
});

for (const { name, file, version } of PROGRAMS) {
  test(`${name} can be run by its own name`, async ({ signal }) => {
    const env = {
      ...process.env,
      PATH: path.dirname(process.execPath) + path.delimiter + process.env['PATH'],
    };
    const { code, stdout, stderr } = await tryRun([file, ...version], { env }, signal);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: '' });
    assert.match(stdout, new RegExp(`^${name} \\d+\\.\\d+\\.\\d+`));
  });

  test(`${name} says which Node it needs`, async ({ signal }) => {
    const old = ['--import', `data:text/javascript,${encodeURIComponent(OLD)}`];
    const command = [process.execPath, ...old, file, ...version];
    const { code, stderr } = await tryRun(command, {}, signal);
    assert.equal(code, 2);
    assert.match(
      stderr,
      new RegExp(
        `^${name} needs Node.js 24.12 or newer; ${process.execPath} is .*; there is one here: PATH=${inProject('node_modules')}/node-linux-${process.arch}/bin:`,
      ),
    );
  });
}
