import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { hasReason } from '../../src/core/errors.ts';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import { openHypervisor } from '../drivers/libvirt/libvirt-pair.ts';
import { PrivateLibvirt, skipReason, waitFor } from '../drivers/libvirt/private-libvirt.ts';
import { freeze } from '../fixtures/process-signals.ts';
import { tinyVm } from '../fixtures/tiny-vm.ts';

const never = new AbortController().signal;
/** As many as resyncs and people ask for in an hour, faster. */
const ROUNDS = 40;
/** Two calls of a VM at a time, and what lists and samples at the same time. */
const MAX_THREADS = 8;

describe('a VM whose QEMU hangs, as in storage that has gone away', { skip: skipReason() }, () => {
  let node: PrivateLibvirt;
  before(async () => {
    node = await PrivateLibvirt.start();
  });
  after(() => node[Symbol.asyncDispose]());

  test('stalls itself alone, however often it is asked, and is well again by itself', async () => {
    await using hypervisor = await openHypervisor(node, { callTimeoutMs: 3_000 });
    const { domains, statistics } = hypervisor;
    const start = async (name: string): Promise<VmDefinition> => {
      const vm = tinyVm({ name });
      await domains.define(vm, never);
      await domains.start(vm.uid, never);
      return vm;
    };
    const hung = await start('hung');
    const well = await start('well');
    {
      using _frozen = freeze(node.qemuPid(hung.uid));
      for (let round = 0; round < ROUNDS; round += 1) {
        // Nobody waits for the answers of the hung one: each is given up when its time is over, or the caller's.
        const signal = AbortSignal.timeout(20);
        const asked = Promise.allSettled([
          domains.suspend(hung.uid, signal),
          statistics.sample(signal),
        ]);
        const listed = await domains.list(never);
        assert.equal(listed.find(({ uid }) => uid === well.uid)?.state, 'running');
        await asked;
      }
      await assert.rejects(domains.suspend(hung.uid, never), (error) =>
        hasReason(error, 'HYPERVISOR_TIMEOUT'),
      );
      const { threads, pid } = await hypervisor.diagnose(never);
      assert.ok(threads <= MAX_THREADS, `${threads} threads`);
      await domains.suspend(well.uid, never);
      await domains.resume(well.uid, never);
      const another = await start('another');
      await domains.destroy(another.uid, never);
      // None of that was so bad that the process had to be replaced.
      assert.equal((await hypervisor.diagnose(never)).pid, pid);
    }
    await waitFor('no call hangs', async () => {
      return (await hypervisor.diagnose(never)).stuckThreads === 0;
    });
    await domains.destroy(hung.uid, never);
  });
});
