import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { EVENT_REASONS } from '../../../../src/agent/events/event-reasons.ts';

test('docs/events.md has each reason once with its type, and no other', () => {
  const [, text = ''] = readFileSync('docs/events.md', 'utf8').split('\n## Reasons\n');
  const rows = text.split('\n').filter((line) => line.startsWith('| `'));
  const documented = rows.map((row) => {
    const [, reason = '', type = '', meaning = '', cause = ''] = row
      .split('|')
      .map((cell) => cell.trim());
    assert.match(meaning, /^[A-Z].*\.$/, reason);
    assert.notEqual(cause, '', reason);
    return [reason.replaceAll('`', ''), type.toLowerCase()] as const;
  });
  assert.equal(new Set(documented.map(([reason]) => reason)).size, documented.length);
  assert.deepEqual(Object.fromEntries(documented), { ...EVENT_REASONS });
});
