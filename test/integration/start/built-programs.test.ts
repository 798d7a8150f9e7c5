import assert from 'node:assert/strict';
import { copyFileSync, mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { serveSampleVm } from '../../../lab/builds/sample-agent.ts';
import { inProject } from '../../../lab/core/project.ts';
import { run } from '../../../lab/core/run-command.ts';
import { MEMORY_FLAGS } from '../../../lab/node/agent.ts';
import { codeFile, loadProgram } from '../../../src/core/program-code.ts';

/* What is built, with the code that V8 has made of it. */

const never = new AbortController().signal;
const AGENT = inProject('dist/agent/daemon.js');
const NOVACTL = inProject('dist/cli/novactl.js');

for (const program of [AGENT, NOVACTL]) {
  test(`${path.basename(program)} has code beside it that this Node takes`, () => {
    assert.equal(loadProgram(program).hadCode, true);
  });
}

test('the flags that the agent is started with do not make its code useless', async () => {
  const load = `import { loadProgram } from ${JSON.stringify(inProject('src/core/program-code.ts'))};
    console.log(loadProgram(${JSON.stringify(AGENT)}).hadCode)`;
  const command = [process.execPath, ...MEMORY_FLAGS, '--input-type=module', '-e', load];
  assert.equal(await run(command, {}, never), 'true\n');
});

/** A copy of novactl with its code, in a folder of its own. */
function copyNovactl(folder: string): string {
  const program = path.join(folder, 'novactl.js');
  copyFileSync(NOVACTL, program);
  copyFileSync(codeFile(NOVACTL), codeFile(program));
  return program;
}

test('code of another source, though as long, damaged code, or none is done without', () => {
  using folder = mkdtempDisposableSync(path.join(tmpdir(), 'code-'));
  const program = copyNovactl(folder.path);
  const [source, code] = [readFileSync(program, 'latin1'), readFileSync(codeFile(program))];
  const loads = () => {
    const { exports, hadCode } = loadProgram(program);
    assert.deepEqual(Object.keys(exports as object), ['start']);
    return hadCode;
  };
  assert.equal(loads(), true);
  writeFileSync(program, source.replace('Usage', 'usage'));
  assert.equal(loads(), false);
  writeFileSync(program, source);
  const damaged = Buffer.from(code);
  damaged.writeUInt8(damaged.readUInt8(code.length >> 1) ^ 1, code.length >> 1);
  for (const bad of [damaged, code.subarray(0, 1_000), Buffer.alloc(0)]) {
    writeFileSync(codeFile(program), bad);
    assert.equal(loads(), false);
  }
  writeFileSync(codeFile(program), code);
  assert.equal(loads(), true);
});

test('the same code is made again, in another folder', async () => {
  using folder = mkdtempDisposableSync(path.join(tmpdir(), 'code-'));
  const program = copyNovactl(folder.path);
  const command = [process.execPath, '--random-seed=1', inProject('lab/builds/write-code.ts')];
  const contexts = path.join(folder.path, 'none.yaml');
  writeFileSync(contexts, '');
  const address = `unix:${folder.path}/agent.sock`;
  using _ = await serveSampleVm(address);
  const words = ['--config', contexts, '--address', address, 'vm', 'list'];
  await run([...command, program, ...words], { env: {} }, never);
  assert.ok(readFileSync(codeFile(program)).equals(readFileSync(codeFile(NOVACTL))));
});

test('no schema is made into a function', async () => {
  const watch = `const Original = Function;
    globalThis.Function = new Proxy(Original, { construct(...given) {
      console.log('made a function');
      return Reflect.construct(...given);
    }});`;
  using folder = mkdtempDisposableSync(path.join(tmpdir(), 'schemas-'));
  const config = path.join(folder.path, 'agent.yaml');
  writeFileSync(config, 'nodeName: a\n');
  const preload = `--import=data:text/javascript,${encodeURIComponent(watch)}`;
  const main = inProject('dist/agent/main.js');
  const said = await run(
    [process.execPath, preload, main, '--check', '--config', config],
    {},
    never,
  );
  assert.match(said, /^\S+ is valid/);
});
