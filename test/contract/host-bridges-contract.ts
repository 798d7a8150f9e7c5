import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { HostBridges } from '../../src/drivers/host-bridges.ts';

/** A host without bridges. */
export interface HostBridgesFixture extends AsyncDisposable {
  readonly bridges: HostBridges;
  add(name: string): Promise<void>;
  remove(name: string): Promise<void>;
  /** An interface that is no bridge. */
  addOther(name: string): Promise<void>;
}

const never = new AbortController().signal;

export function testHostBridges(what: string, open: () => Promise<HostBridgesFixture>): void {
  test(`${what}: a host without bridges has none`, async () => {
    await using host = await open();
    assert.deepEqual(await host.bridges.list(never), []);
  });

  test(`${what}: bridges are listed as they are now, in order, and nothing else is`, async () => {
    await using host = await open();
    await host.add('br1');
    await host.add('br0');
    await host.addOther('eth7');
    assert.deepEqual(await host.bridges.list(never), ['br0', 'br1']);
    await host.remove('br0');
    assert.deepEqual(await host.bridges.list(never), ['br1']);
  });

  test(`${what}: a question that was given up ends with the reason for that`, async () => {
    await using host = await open();
    const why = new Error('given up');
    await assert.rejects(host.bridges.list(AbortSignal.abort(why)), why);
  });
}
