import assert from 'node:assert/strict';
import { test } from 'node:test';
import { completeWords, joinAtColons } from '../../../../src/cli/completion/completion.ts';
import { buildWholeProgram, runCli } from '../../../../src/cli/program.ts';
import { FakeCliIo } from '../../../fakes/fake-cli-io.ts';

const program = await buildWholeProgram(new FakeCliIo());

function valuesFor(...words: string[]): string[] {
  const completion = completeWords(program, words);
  assert.equal(completion.kind, 'candidates');
  return completion.kind === 'candidates' ? completion.candidates.map(({ value }) => value) : [];
}

test('the top offers all commands but not the hidden one', () => {
  assert.deepEqual(valuesFor('mi'), ['migrate', 'migration']);
  assert.ok(!valuesFor('').includes('__complete'));
});

test('a group offers its subcommands, also after options with values', () => {
  assert.deepEqual(valuesFor('--node', 'vm', 'vm', 's'), [
    'start',
    'shutdown',
    'suspend',
    'screenshot',
    'send-key',
    'ssh',
  ]);
});

test('a command offers its options, the connection included', () => {
  assert.deepEqual(valuesFor('vm', 'list', '--n'), ['--namespace', '--node']);
});

test('an option with choices offers them', () => {
  assert.deepEqual(valuesFor('vm', 'list', '-o', 'j'), ['json']);
});

test('types of events are offered', () => {
  assert.deepEqual(valuesFor('events', '--type', 'W'), ['Warning']);
});

test('shells are offered to completion', () => {
  assert.deepEqual(valuesFor('completion', ''), ['bash', 'zsh', 'fish']);
});

test('names are asked for where they belong', () => {
  const cases = [
    [['vm', 'get', ''], 'vm'],
    [['vm', 'describe', ''], 'vm'],
    [['events', ''], 'vm'],
    [['migrate', 'w'], 'vm'],
    [['migrate', 'web', '--to', ''], 'context'],
    [['migration', 'watch', ''], 'migration'],
    [['operation', 'watch', ''], 'operation'],
    [['operation', 'list', '--vm', ''], 'vm'],
    [['node', 'release', ''], 'reservation'],
    [['vm', 'delete', ''], 'vm'],
    [['vm', 'list', '-n', ''], 'namespace'],
    [['--node', ''], 'context'],
  ] as const;
  for (const [words, of] of cases) {
    assert.deepEqual(completeWords(program, words), { kind: 'names', of }, words.join(' '));
  }
});

test('files are left to the shell', () => {
  for (const verb of ['create', 'apply', 'delete']) {
    assert.deepEqual(completeWords(program, ['vm', verb, '-f', '']), { kind: 'files' }, verb);
  }
});

test('words that bash cut at colons are joined again', () => {
  assert.deepEqual(joinAtColons(['--address', 'unix', ':', '/run/a', 'vm', '']), [
    '--address',
    'unix:/run/a',
    'vm',
    '',
  ]);
});

test('an agent that is not there gives no names and no noise', async () => {
  const io = new FakeCliIo();
  const words = ['--address', 'unix:/nowhere/a.sock', 'vm', 'get', ''];
  assert.equal(await runCli(['__complete', '--', ...words], io), 0);
  assert.equal(io.stdout.text + io.stderr.text, '');
});

for (const [shell, line] of [
  ['bash', 'complete -F _novactl novactl'],
  ['zsh', '#compdef novactl'],
  ['fish', "complete -c novactl -f -a '(__novactl_complete)'"],
] as const) {
  test(`the script of ${shell} registers itself and asks novactl`, async () => {
    const io = new FakeCliIo();
    assert.equal(await runCli(['completion', shell], io), 0);
    assert.ok(io.stdout.text.split('\n').includes(line));
    assert.match(io.stdout.text, /__complete -- /);
  });
}
