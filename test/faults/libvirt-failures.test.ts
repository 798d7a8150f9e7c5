import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { AgentError, hasReason } from '../../src/core/errors.ts';
import type { LibvirtHypervisor } from '../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { answers, openHypervisor, UNHURRIED } from '../drivers/libvirt/libvirt-pair.ts';
import { PrivateLibvirt, skipReason, waitFor } from '../drivers/libvirt/private-libvirt.ts';
import { freeze } from '../fixtures/process-signals.ts';
import { tinyVm } from '../fixtures/tiny-vm.ts';

const never = new AbortController().signal;

describe('the libvirt driver, when things break', { skip: skipReason() }, () => {
  let node: PrivateLibvirt;
  before(async () => {
    node = await PrivateLibvirt.start();
  });
  after(() => node[Symbol.asyncDispose]());

  test('a libvirtd that hangs fails each call in time, and stalls nothing else', async () => {
    await using hypervisor = await openHypervisor(node, { callTimeoutMs: 1500 });
    await hypervisor.domains.list(never);
    {
      using _stuck = node.freezeDaemon();
      const calls = Array.from({ length: 32 }, () => hypervisor.domains.list(never));
      const results = Promise.allSettled(calls);
      // All this while, the event loop comes round and files are read.
      const over = new AbortController();
      void results.finally(() => over.abort());
      let reads = 0;
      for (; !over.signal.aborted; reads += 1) await readFile('/etc/hostname');
      assert.ok(reads > 20, `only ${reads} files could be read meanwhile`);
      const failures = (await results).map((result) => {
        assert.ok(result.status === 'rejected');
        const { reason } = result as { readonly reason: unknown };
        assert.ok(hasReason(reason, 'HYPERVISOR_TIMEOUT', 'HYPERVISOR_UNREACHABLE'));
        return reason.message;
      });
      assert.ok(failures.some((message) => message.includes('did not answer within 1500 ms')));
      // The probe finds that libvirt as a whole does not answer, so the connection is given up.
      await waitFor('the driver knows', async () => {
        const error = await hypervisor.domains.list(never).catch((thrown: unknown) => thrown);
        return hasReason(error, 'HYPERVISOR_UNREACHABLE');
      });
    }
    await waitFor('the driver is back', () => answers(hypervisor));
  });

  test('a call that hangs is given up without taking others along', async () => {
    await using hypervisor = await openHypervisor(node, { callTimeoutMs: 6000 });
    const vm = tinyVm();
    await hypervisor.domains.define(vm, never);
    await hypervisor.domains.start(vm.uid, never);
    const { pid } = await hypervisor.diagnose(never);
    {
      using _stuck = freeze(node.qemuPid(vm.uid));
      // QEMU does not answer its monitor, so libvirt does not answer calls about this VM.
      let givenUp = 0;
      const hung = Array.from({ length: 8 }, () =>
        hypervisor.domains.suspend(vm.uid, never).finally(() => {
          givenUp += 1;
        }),
      );
      const results = Promise.allSettled(hung);
      for (let round = 0; round < 20; round += 1) {
        const listed = await hypervisor.domains.list(never);
        assert.ok(listed.some(({ uid }) => uid === vm.uid));
      }
      assert.equal(givenUp, 0, 'the listings waited for the hung VM');
      for (const result of await results) {
        assert.equal(result.status, 'rejected');
        assert.ok(hasReason(result.reason, 'HYPERVISOR_TIMEOUT', 'VM_BUSY'), String(result.reason));
      }
      await hypervisor.domains.list(never);
    }
    await waitFor('the stuck Workers return', async () => {
      return (await hypervisor.diagnose(never)).stuckThreads === 0;
    });
    assert.equal((await hypervisor.diagnose(never)).pid, pid, 'the process was replaced');
    await hypervisor.domains.destroy(vm.uid, never);
    await hypervisor.domains.undefine(vm.uid, never);
  });

  test('a killed and restarted libvirtd is found again, with what changed meanwhile', async () => {
    await using hypervisor = await openHypervisor(node);
    const kept = tinyVm();
    const stopped = tinyVm();
    for (const vm of [kept, stopped]) {
      await hypervisor.domains.define(vm, never);
      await hypervisor.domains.start(vm.uid, never);
    }
    await hypervisor.domains.list(never);
    using heard = listen(hypervisor);
    const qemu = node.qemuPid(kept.uid);
    const stoppedQemu = node.qemuPid(stopped.uid);
    await node.killDaemon();
    await waitFor('the loss is noticed', async () => {
      const error = await hypervisor.domains.list(never).catch((thrown: unknown) => thrown);
      return hasReason(error, 'HYPERVISOR_UNREACHABLE');
    });
    process.kill(stoppedQemu, 'SIGKILL');
    await node.startDaemon();
    await waitFor('the driver is back', () => answers(hypervisor));
    assert.equal(node.qemuPid(kept.uid), qemu, 'QEMU was started anew');
    await waitFor('the states are right', async () => {
      const states = new Map(
        (await hypervisor.domains.list(never)).map(({ uid, state }) => [uid, state] as const),
      );
      return states.get(kept.uid) === 'running' && states.get(stopped.uid) === 'stopped';
    });
    await waitFor('both are told', () => heard.kinds.length >= 2);
    assert.deepEqual(heard.kinds.slice(0, 2), ['disconnected', 'connected']);
    for (const { uid } of [kept, stopped]) {
      await hypervisor.domains.destroy(uid, never);
      await hypervisor.domains.undefine(uid, never);
    }
  });

  test('each of 1,600 failing calls from 32 callers gets its own error', async () => {
    await using hypervisor = await openHypervisor(node, UNHURRIED);
    const stopped = tinyVm();
    const running = tinyVm();
    await hypervisor.domains.define(stopped, never);
    await hypervisor.domains.define(running, never);
    await hypervisor.domains.start(running.uid, never);
    const invalid = tinyVm({}, { machineType: 'no-such-machine' });
    const kinds = [
      { reason: 'VM_NOT_FOUND', call: (uid: string) => hypervisor.domains.start(uid, never) },
      { reason: 'VM_NOT_RUNNING', call: () => hypervisor.domains.suspend(stopped.uid, never) },
      { reason: 'VM_RUNNING', call: () => hypervisor.domains.undefine(running.uid, never) },
      {
        reason: 'VM_ALREADY_EXISTS',
        call: (uid: string) => hypervisor.domains.define({ ...stopped, uid }, never),
      },
      {
        reason: 'HYPERVISOR_REFUSED',
        call: () => hypervisor.domains.define(invalid, never),
      },
    ] as const;
    const wrong: string[] = [];
    await Promise.all(
      Array.from({ length: 32 }, async (_caller, caller) => {
        for (let turn = 0; turn < 50; turn += 1) {
          const kind = kinds[(caller + turn) % kinds.length];
          assert.ok(kind);
          const uid = randomUUID();
          const error = await kind.call(uid).then(
            () => undefined,
            (thrown: unknown) => thrown,
          );
          const isOwn =
            error instanceof AgentError &&
            error.reason === kind.reason &&
            (kind.reason !== 'VM_NOT_FOUND' || error.message.includes(`uuid '${uid}'`));
          if (!isOwn) wrong.push(`${kind.reason}: ${String(error)}`);
        }
      }),
    );
    assert.deepEqual(wrong, []);
    await hypervisor.domains.destroy(running.uid, never);
    for (const { uid } of [running, stopped]) await hypervisor.domains.undefine(uid, never);
  });

  test('10,000 operations leave handles, descriptors and memory as they were', async (context) => {
    await using hypervisor = await openHypervisor(node, UNHURRIED);
    const vm = tinyVm();
    await hypervisor.domains.define(vm, never);
    await hypervisor.domains.start(vm.uid, never);
    const round = async (): Promise<void> => {
      for (let turn = 0; turn < 100; turn += 1) {
        await Promise.all([
          hypervisor.domains.list(never),
          hypervisor.domains.find(vm.uid, never),
          hypervisor.jobs.getJob(vm.uid, never),
          hypervisor.domains.find(randomUUID(), never),
          assert.rejects(hypervisor.domains.start(randomUUID(), never)),
        ]);
      }
    };
    const rounds = async (count: number) => {
      for (let index = 0; index < count; index += 1) await round();
      return hypervisor.diagnose(never);
    };
    const warm = await rounds(8);
    const middle = await rounds(6);
    const end = await rounds(6);
    assert.equal(end.openDomains, 0);
    assert.equal(end.openFiles, middle.openFiles);
    assert.equal(end.openConnections, middle.openConnections);
    const growth = end.rssBytes - middle.rssBytes;
    const firstGrowth = middle.rssBytes - warm.rssBytes;
    context.diagnostic(`driver memory grew by ${firstGrowth}, then by ${growth} bytes`);
    assert.ok(
      growth < 6 * 1024 * 1024,
      `the driver grew by ${growth} bytes, and by ${firstGrowth} before`,
    );
    await hypervisor.domains.destroy(vm.uid, never);
    await hypervisor.domains.undefine(vm.uid, never);
  });
});

/** Collects what is said of the connection until disposed. */
function listen(hypervisor: LibvirtHypervisor): Disposable & { readonly kinds: string[] } {
  const kinds: string[] = [];
  const stop = new AbortController();
  void (async () => {
    for await (const { kind } of hypervisor.events.watch(stop.signal)) {
      if (kind === 'connected' || kind === 'disconnected') kinds.push(kind);
    }
  })();
  return { kinds, [Symbol.dispose]: () => stop.abort() };
}
