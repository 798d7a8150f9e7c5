import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { status as Code } from '@grpc/grpc-js';
import { EDGE_REASONS, toStatus } from '../../src/agent/rpc/status.ts';
import { DEED_REASONS } from '../../src/core/deed-reasons.ts';
import { AgentError, REASONS, type Reason } from '../../src/core/errors.ts';

interface Row {
  readonly reason: string;
  readonly code: string;
  readonly meaning: string;
  readonly remedy: string;
}

function documented(): Row[] {
  return readFileSync('docs/errors.md', 'utf8')
    .split('\n')
    .filter((line) => /^\| [A-Z]/.test(line))
    .map((line) => {
      const [, reason = '', code = '', meaning = '', remedy = ''] = line
        .split('|')
        .map((cell) => cell.trim());
      return { reason, code, meaning, remedy };
    });
}

const never = new AbortController().signal;

test('docs/errors.md has each reason once, and no other', () => {
  const reasons = documented().map(({ reason }) => reason);
  assert.deepEqual(reasons.toSorted(), [...Object.keys(REASONS), ...EDGE_REASONS].toSorted());
});

test('docs/errors.md names the code that callers see', () => {
  for (const { reason, code } of documented()) {
    if (!Object.hasOwn(REASONS, reason)) continue;
    const status = toStatus(new AgentError(reason as Reason, 'Text'), never, '');
    assert.equal(code, Code[status.code], reason);
  }
});

test('docs/errors.md says what each means and what to do', () => {
  for (const { reason, meaning, remedy } of documented()) {
    assert.ok(meaning.endsWith('.') && remedy.endsWith('.'), reason);
  }
});

test('docs/errors.md has for create, start and migrate what each can end with, and no more', () => {
  const rows = readFileSync('docs/errors.md', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')));
  for (const [column, verb] of (['create', 'start', 'migrate'] as const).entries()) {
    for (const when of ['foretold', 'found'] as const) {
      const listed = rows.filter((cells) => cells[column + 2] === when).map((cells) => cells[1]);
      assert.deepEqual(new Set(listed), new Set(DEED_REASONS[verb][when]), `${verb}: ${when}`);
    }
  }
});
