import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Deed, MEETINGS } from '../../../../src/agent/operations/meetings.ts';

const WORDS = {
  together: 'both',
  supersede: 'superseded',
  cancel: 'cancelled',
  busy: 'busy',
} as const;

test('docs/api.md has the table of what may be done at once', () => {
  const [, text = ''] =
    readFileSync('docs/api.md', 'utf8').split('### What may be done at once') ?? [];
  const rows = (text.split('\n## ')[0] ?? '')
    .split('\n')
    .filter((line) => line.startsWith('|') && !line.startsWith('|--'))
    .map((line) => line.slice(1, -1).split('|'));
  const [header = [], ...lines] = rows.map((row) => row.map((cell) => cell.trim()));
  const documented: Record<string, Record<string, string>> = {};
  for (const [names = '', ...cells] of lines) {
    for (const newer of kindsOf(names.replace(' with `force`', '-force').replaceAll('*', ''))) {
      documented[newer] = Object.fromEntries(
        cells.flatMap((cell, index) =>
          kindsOf(header[index + 1] ?? '').map((older) => [older, cell]),
        ),
      );
    }
  }
  const wanted = Object.entries(MEETINGS).map(([newer, row]) => [
    newer as Deed,
    Object.fromEntries(Object.entries(row).map(([older, meeting]) => [older, WORDS[meeting]])),
  ]);
  assert.deepEqual(documented, Object.fromEntries(wanted));
});

function kindsOf(cell: string): readonly string[] {
  return cell.split(', ');
}
