import assert from 'node:assert/strict';
import { appendFileSync, copyFileSync, mkdtempDisposableSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { inProject } from '../../../lab/core/project.ts';
import { run } from '../../../lab/core/run-command.ts';
import { codeFile, loadProgram } from '../../../src/core/program-code.ts';

/* What is built, with the code that V8 has made of it. */

const never = new AbortController().signal;
const NOVACTL = inProject('dist/cli/novactl.js');

for (const program of ['agent/daemon.js', 'cli/novactl.js']) {
  test(`${program} has code beside it that this Node takes`, () => {
    assert.equal(loadProgram(inProject('dist', program)).hadCode, true);
  });
}

test('flags that the agent is started with do not make its code useless', async () => {
  const load = `import { loadProgram } from ${JSON.stringify(inProject('src/core/program-code.ts'))};
    console.log(loadProgram(${JSON.stringify(NOVACTL)}).hadCode)`;
  const flags = ['--max-semi-space-size=1', '--max-old-space-size=256'];
  const command = [process.execPath, ...flags, '--input-type=module', '-e', load];
  assert.equal(await run(command, {}, never), 'true\n');
});

test('code of another source, or none, is done without', () => {
  using folder = mkdtempDisposableSync(path.join(tmpdir(), 'code-'));
  const program = path.join(folder.path, 'novactl.js');
  copyFileSync(NOVACTL, program);
  const without = loadProgram(program);
  assert.equal(without.hadCode, false);
  copyFileSync(codeFile(NOVACTL), codeFile(program));
  assert.equal(loadProgram(program).hadCode, true);
  appendFileSync(program, '\n//');
  const other = loadProgram(program);
  assert.equal(other.hadCode, false);
  assert.deepEqual(Object.keys(other.exports as object), ['start']);
});
