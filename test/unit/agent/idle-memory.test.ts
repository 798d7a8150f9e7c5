import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { until } from '../../fixtures/until.ts';
import { newRequest, OneNode } from './vms/one-node.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const LOOKS = 400;
/** Compiled code and caches still move about by this much; one object left by each look would be more. */
const NOISE_BYTES = 60 * LOOKS;

/** Bytes in use after so many looks at a hypervisor on which nothing happens. */
async function usedAfterLooks(node: OneNode): Promise<number> {
  const { hypervisor } = node;
  hypervisor.forgetCalls();
  await until('it has looked often enough', () => hypervisor.calls.length >= LOOKS);
  hypervisor.forgetCalls();
  for (let times = 0; times < 3; times += 1) {
    await nextTurn();
    collectGarbage();
  }
  return process.memoryUsage().heapUsed;
}

test('an agent on which nothing happens does not grow by looking', async (context) => {
  await using node = await OneNode.open({ resyncIntervalMs: 1 });
  await node.create(newRequest('web'));
  await node.create(newRequest('off', { runStrategy: 'Halted' }));
  node.run();
  const used: number[] = [];
  for (let round = 0; round < 10; round += 1) used.push(await usedAfterLooks(node));
  context.diagnostic(`used: ${used.join(' ')}`);
  // Rounds differ by what the engine does meanwhile, up in one and down in the next; what is kept for good shows in most.
  const growth = used.slice(1).map((bytes, index) => bytes - (used[index] ?? 0));
  const usual = growth.toSorted((left, right) => left - right)[Math.floor(growth.length / 2)] ?? 0;
  assert.ok(usual < NOISE_BYTES, `grew by ${growth.join(', ')} bytes`);
});
