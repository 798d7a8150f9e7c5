import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildWholeProgram } from '../../src/cli/program.ts';
import { FakeCliIo } from '../fakes/fake-cli-io.ts';

const page = readFileSync('docs/install.md', 'utf8');

/** The lines of the blocks that have this after their ```; each is a command but for what a heredoc holds. */
function commandsOf(mark: string): readonly string[] {
  const blocks = [...page.matchAll(/^```(sh.*)\n([^]*?)^```$/gm)];
  return blocks
    .filter(([, name]) => name === mark)
    .flatMap(([, , text = '']) =>
      text
        .replaceAll(/<<'EOF'\n[^]*?^EOF$/gm, '')
        .trim()
        .split('\n'),
    );
}

test('from a bare machine to a node that others reach are ten commands at most', () => {
  const commands = commandsOf('sh');
  const last = commands.lastIndexOf('novactl doctor');
  assert.ok(last > 0 && last < 10, `${last + 1} commands`);
  assert.ok(
    commands.slice(0, last).some((command) => command.startsWith('novactl pki issue node')),
  );
});

test('what it has novactl do, novactl can', async () => {
  const program = await buildWholeProgram(new FakeCliIo());
  const marks = ['sh', 'sh second-node', 'sh for-second-node', 'sh optional', 'sh upgrade'];
  const called = marks.flatMap(commandsOf).filter((command) => command.startsWith('novactl '));
  assert.ok(called.length > 10);
  for (const line of called) {
    let command = program;
    const words = line.split(' ').slice(1);
    for (const word of words) {
      const child = command.commands.find((each) => each.name() === word);
      if (child === undefined) break;
      command = child;
    }
    assert.equal(command.commands.length, 0, line);
    const known = command.options.map(({ long }) => long);
    for (const word of words.filter((each) => each.startsWith('--'))) {
      assert.ok(known.includes(word), line);
    }
  }
});
