import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatTable } from '../../../../src/cli/output/table.ts';

test('columns are as wide as their widest cell, and lines have no trailing blanks', () => {
  assert.equal(
    formatTable(
      ['NAME', 'PHASE'],
      [
        ['web', 'Running'],
        ['a-long-name', ''],
      ],
    ),
    'NAME          PHASE\nweb           Running\na-long-name   -\n',
  );
});

test('text of a guest or an agent cannot move the cursor', () => {
  assert.equal(formatTable(['MESSAGE'], [['\u001b[2Jgone\nnext']]), 'MESSAGE\n [2Jgone next\n');
});
