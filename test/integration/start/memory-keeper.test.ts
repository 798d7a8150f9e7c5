import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { OwnedProcess } from '../../fixtures/owned-process.ts';

test('a process that has grown gives back what it no longer needs, once it has nothing else to do', async () => {
  const program = `${import.meta.dirname}/../../fixtures/grown-process.ts`;
  await using grown = new OwnedProcess(
    spawn(process.execPath, ['--max-semi-space-size=1', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  );
  const { before, largest, after } = JSON.parse(await grown.nextLine()) as Record<string, number>;
  assert.ok(largest !== undefined && before !== undefined && largest > before + 30);
  assert.ok(after !== undefined && after < largest);
});
