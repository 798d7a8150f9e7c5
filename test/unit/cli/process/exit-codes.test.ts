import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  EXIT_CODE_MEANINGS,
  EXIT_CODES,
  Exit,
  exitCodeOf,
  Interrupted,
} from '../../../../src/cli/process/exit-codes.ts';
import { AgentError } from '../../../../src/core/errors.ts';

test('exit codes never change', () => {
  assert.deepEqual(EXIT_CODES, {
    ok: 0,
    failure: 1,
    usage: 2,
    notFound: 3,
    refused: 4,
    unreachable: 5,
    denied: 6,
    timedOut: 7,
    interrupted: 130,
  });
});

const CASES = [
  [new AgentError('VM_NOT_FOUND', ''), 3],
  [new AgentError('MIGRATION_NOT_FOUND', ''), 3],
  [new AgentError('INVALID_SPEC', ''), 4],
  [new AgentError('VM_BUSY', ''), 4],
  [new AgentError('VM_ALREADY_EXISTS', ''), 4],
  [new AgentError('MIGRATION_BLOCKED', ''), 4],
  [new AgentError('STORAGE_FULL', ''), 4],
  [new AgentError('HYPERVISOR_UNREACHABLE', ''), 5],
  [new AgentError('PERMISSION_DENIED', ''), 6],
  [new AgentError('UNAUTHENTICATED', ''), 6],
  [new AgentError('INVALID_CONFIG', ''), 2],
  [new AgentError('JOURNAL_FAILURE', ''), 1],
  [new AgentError('AGENT_UNREACHABLE', ''), 5],
  [new AgentError('DEADLINE_EXCEEDED', ''), 7],
  [new AgentError('INTERNAL', ''), 1],
  [new DOMException('late', 'TimeoutError'), 7],
  [new Interrupted('Interrupted'), 130],
  [new Exit(EXIT_CODES.failure), 1],
  [new TypeError('a bug'), 1],
] as const;

for (const [error, code] of CASES) {
  const what = error instanceof AgentError ? error.reason : error.name;
  test(`${what} ends with ${code}`, () => assert.equal(exitCodeOf(error), code));
}

test('docs/novactl.md has every exit code with its meaning', () => {
  const page = readFileSync('docs/novactl.md', 'utf8');
  for (const [name, code] of Object.entries(EXIT_CODES)) {
    const meaning = EXIT_CODE_MEANINGS[name as keyof typeof EXIT_CODES];
    assert.ok(page.includes(`| ${code} | ${meaning} |`), name);
  }
});
