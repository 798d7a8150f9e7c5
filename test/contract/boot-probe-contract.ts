import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BootProbe } from '../../src/drivers/boot-probe.ts';

/** What every probe does; `boots` and `hangs` are of hosts where guests boot and do not. */
export function describeBootProbe(make: { boots(): BootProbe; hangs(): BootProbe }): void {
  test('a guest that boots is told, without a reason why not', async ({ signal }) => {
    assert.deepEqual(await make.boots().find(signal), { boots: true, why: '' });
  });

  test('where none boots it is told why', async ({ signal }) => {
    const { boots, why } = await make.hangs().find(signal);
    assert.equal(boots, false);
    assert.notEqual(why, '');
  });

  test('it ends when it is aborted', async () => {
    const reason = new Error('stop');
    await assert.rejects(make.hangs().find(AbortSignal.abort(reason)), reason);
  });
}
