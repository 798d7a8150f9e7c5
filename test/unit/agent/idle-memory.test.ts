import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { until } from '../../fixtures/until.ts';
import { newRequest, OneNode } from './vms/one-node.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Rounds before the measured ones, in which the engine compiles and caches fill. */
const WARM_UP_ROUNDS = 2;
const ROUNDS = 12;
const LOOKS = 500;
/** Memory still moves about by this much; one small object in a map left by each look would be more. */
const NOISE_BYTES = 80 * LOOKS;

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

/**
 * The median of the slopes between any two rounds (Theil and Sen's estimator). The engine makes memory go up in one round
 * and down in the next, often for many rounds in turn, so neighbours alone say little.
 */
function growthPerRound(used: readonly number[]): number {
  const slopes = used.flatMap((later, at) =>
    used.slice(0, at).map((earlier, from) => (later - earlier) / (at - from)),
  );
  return slopes.toSorted((left, right) => left - right)[Math.floor(slopes.length / 2)] ?? 0;
}

test('an agent on which nothing happens does not grow by looking', async (context) => {
  await using node = await OneNode.open({ resyncIntervalMs: 1 });
  await node.create(newRequest('web'));
  await node.create(newRequest('off', { runStrategy: 'Halted' }));
  node.run();
  for (let round = 0; round < WARM_UP_ROUNDS; round += 1) await usedAfterLooks(node);
  const used: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) used.push(await usedAfterLooks(node));
  context.diagnostic(`used: ${used.join(' ')}`);
  const growth = growthPerRound(used);
  context.diagnostic(`grew by ${Math.round(growth)} bytes in a round`);
  assert.ok(growth < NOISE_BYTES, `grew by ${Math.round(growth)} bytes in a round`);
});

test('the measure tells growth from memory that goes up and down', () => {
  const upAndDown = [17.88, 18.09, 18.12, 18.13, 18.23, 18.14, 18.24, 18.16, 18.24, 18.15].map(
    (mega) => mega * 1e6,
  );
  assert.ok(growthPerRound(upAndDown) < NOISE_BYTES);
  const leaking = upAndDown.map((bytes, round) => bytes + 2 * NOISE_BYTES * round);
  assert.ok(growthPerRound(leaking) > NOISE_BYTES);
});
