import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { boundedCommand } from '../../../../src/agent/guests/bounded-command.ts';

/** Runs it by this machine's shell, as a guest agent does by that of a guest. */
function run(words: readonly [string, ...string[]], { captureBytes = 10, stdin = '' } = {}) {
  const [program, ...args] = words;
  const wanted = { program, args, stdin: Buffer.from(stdin), timeoutMs: 1_000, captureBytes };
  const command = boundedCommand(wanted);
  return spawnSync(command.program, [...command.args], { input: stdin, encoding: 'utf8' });
}

test('words arrive as they are, outputs each at its own, and the exit code is kept', () => {
  const script = 'printf "%s|" "$@"; printf err >&2; exit 42';
  const { status, stdout, stderr } = run(['sh', '-c', script, 'sh', 'a  b', '$x', "it's", ''], {
    captureBytes: 100,
  });
  assert.deepEqual([status, stdout, stderr], [42, "a  b|$x|it's||", 'err']);
});

test('one byte more than is wanted passes, and the program does not notice the rest go', () => {
  const script = 'head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2; exit 5';
  const { status, stdout, stderr } = run(['sh', '-c', script]);
  assert.deepEqual([status, stdout.length, stderr.length], [5, 11, 11]);
});

test('standard input is the program’s', () => {
  assert.equal(run(['cat'], { stdin: 'hello' }).stdout, 'hello');
});

test('a program that is not there, or was killed, ends as in a shell', () => {
  assert.equal(run(['no-such-program']).status, 127);
  assert.equal(run(['sh', '-c', 'kill -9 $$']).status, 137);
  // It takes what waits for it along.
  assert.equal(run(['sh', '-c', 'kill -9 $PPID']).status, 255);
});

test('a word of the shell is no program', () => {
  assert.equal(run(['exit', '3']).status, 127);
});
