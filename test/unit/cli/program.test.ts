import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command } from 'commander';
import { EXIT_CODES } from '../../../src/cli/process/exit-codes.ts';
import { buildWholeProgram, runCli } from '../../../src/cli/program.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';

async function run(...words: string[]) {
  const io = new FakeCliIo();
  const code = await runCli(words, io);
  return { code, stdout: io.stdout.text, stderr: io.stderr.text };
}

test('--help of the top has every exit code', async () => {
  const { code, stdout } = await run('--help');
  assert.equal(code, 0);
  for (const exitCode of Object.values(EXIT_CODES)) {
    assert.match(stdout, new RegExp(`^ {2}${exitCode} `, 'm'));
  }
});

test('every command has a description and its help has examples', async () => {
  const leaves = leavesOf(await buildWholeProgram(new FakeCliIo()), []);
  assert.ok(leaves.length > 15);
  for (const words of leaves) {
    const { code, stdout } = await run(...words, '--help');
    assert.equal(code, 0, words.join(' '));
    assert.match(stdout, /^Examples:$/m, words.join(' '));
  }
});

function leavesOf(command: Command, words: readonly string[]): (readonly string[])[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== 'help')
    .flatMap((child) => {
      const path = [...words, child.name()];
      return child.commands.length === 0 ? [path] : leavesOf(child, path);
    });
}

test('a wrong command line ends with 2 and says how to get help', async () => {
  const cases = [
    ['vn'],
    ['vm', 'lst'],
    ['vm', 'list', '--outptu', 'json'],
    ['vm', 'list', '-o', 'xml'],
    ['vm', 'get'],
    ['vm', 'create'],
    ['vm', 'apply'],
    ['vm', 'apply', '-f', 'a.yaml', '--generation', 'x'],
    ['vm', 'delete'],
    ['vm', 'delete', 'web', '-f', 'web.yaml'],
    ['vm', 'delete', 'a/b/c'],
    ['vm', 'start', '/web'],
    ['vm', 'get', 'shop/'],
    ['vm', 'log', '-n', 'shop', 'blog/web'],
    ['migrate', 'web'],
    ['migrate', 'a/b/c', '--to', 'b'],
    ['migrate', 'web', '--to', 'b', '--max-downtime', '100'],
    ['migrate', 'web', '--to', 'b', '--address', 'unix:/run/a.sock'],
    ['migrate', 'web', '--to', 'b', '--id', 'mine'],
    ['migrate', 'web', '--to', 'b', '--bandwidth', '100M'],
    ['migrate', 'web', '--to', 'b', '--label', 'plan'],
    ['--node'],
  ];
  for (const words of cases) {
    const { code, stderr } = await run(...words);
    assert.equal(code, 2, words.join(' '));
    assert.match(stderr, /^error: .*\n(.*\n)*Add --help/, words.join(' '));
  }
});

test('a name that may mean two VMs is refused with what to write', async () => {
  const parts = await run('vm', 'delete', 'a/b/c');
  assert.match(parts.stderr, /^error: "a\/b\/c" names no VM; write NAME or NAMESPACE\/NAME$/m);
  const namespaces = await run('vm', 'delete', '-n', 'shop', 'blog/web');
  assert.match(namespaces.stderr, /; write blog\/web without -n, or web with it$/m);
});

test('a mistyped command is answered with the one that was meant', async () => {
  assert.match((await run('vm', 'lst')).stderr, /Did you mean one of list, ls\?/);
});

test('a rate of 0 is answered with what is possible, however it is written', async () => {
  for (const rate of ['0', '0bps', '0 Gbit/s']) {
    const { code, stderr } = await run('migrate', 'web', '--to', 'b', '--bandwidth', rate);
    assert.equal(code, 2);
    assert.match(stderr, /must be more than 0; leave it out/);
  }
});

test('a contexts file that is not there ends with 2', async () => {
  const { code, stderr } = await run('--config', '/nowhere.yaml', 'vm', 'list');
  assert.equal(code, 2);
  assert.match(stderr, /Cannot read the contexts file \/nowhere\.yaml: it does not exist/);
});

test('a manifest that is not there ends with 4', async () => {
  const { code, stderr } = await run('vm', 'create', '-f', '/nowhere.yaml');
  assert.equal(code, 4);
  assert.match(stderr, /Cannot read \/nowhere\.yaml: it does not exist/);
});

test('no words at all print the help', async () => {
  const { code, stdout } = await run();
  assert.equal(code, 0);
  assert.match(stdout, /^Usage: novactl/);
});
