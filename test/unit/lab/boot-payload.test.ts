import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { assembleBootPayload, renderBootPayload } from '../../../lab/builds/boot-payload.ts';

test('the payload of the agent is the one whose source is here', async ({ signal }) => {
  const kept = await readFile('src/drivers/boot-probe/boot-payload.ts', 'utf8');
  assert.equal(kept, renderBootPayload(await assembleBootPayload(signal)), 'run: npm run generate');
});
