import assert from 'node:assert/strict';
import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { type AcceleratorChoice, recallChoice } from '../../../../lab/guest/kvm-probe.ts';

const HOUR_MS = 3_600_000;

async function recallAfter(
  ageMs: number,
  choice: AcceleratorChoice,
): Promise<AcceleratorChoice | undefined> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'novacron-probe-'));
  try {
    const file = path.join(folder, 'probe.json');
    await writeFile(file, JSON.stringify(choice));
    const written = new Date(Date.now() - ageMs);
    await utimes(file, written, written);
    return await recallChoice(file);
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('that a guest boots with KVM is kept for good', async () => {
  const choice = { accelerator: 'kvm', reason: 'a guest boots with it' } as const;
  assert.deepEqual(await recallAfter(1_000 * HOUR_MS, choice), choice);
});

test('that none does is kept for an hour: the machine may have been busy', async () => {
  const choice = { accelerator: 'tcg', reason: 'no heartbeat within 8 s' } as const;
  assert.deepEqual(await recallAfter(HOUR_MS / 2, choice), choice);
  assert.equal(await recallAfter(HOUR_MS + 1_000, choice), undefined);
});

test('without an earlier answer there is none', async () => {
  assert.equal(await recallChoice('/nonexistent/probe.json'), undefined);
});
