import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import {
  assertAbortable,
  type HypervisorFixture,
  never,
  rejectsWith,
  TIMEOUT_MS,
  type UseFixture,
} from './hypervisor-fixture.ts';

const SHARED = { takeOver: false };
const CTRL_ALT_DELETE = [29, 56, 111];

/** What a hypervisor must do for whoever looks at a VM and types. */
export function testHypervisorConsoles(use: UseFixture): void {
  describe('consoles', () => {
    test('one at a time has the serial console of a VM, unless it is taken over', async () => {
      await using vm = await running(use());
      const { consoles } = use().source;
      const first = await consoles.openSerial(vm.uid, SHARED, never);
      await rejectsWith('CONSOLE_IN_USE', consoles.openSerial(vm.uid, SHARED, never));
      const second = await consoles.openSerial(vm.uid, { takeOver: true }, never);
      await ended(first);
      assert.ok(!second.destroyed);
      second.destroy();
    });

    test('a serial console that was let go of can be opened again', async () => {
      await using vm = await running(use());
      const { consoles } = use().source;
      (await consoles.openSerial(vm.uid, SHARED, never)).destroy();
      // The hypervisor sees it a little later.
      const end = performance.now() + TIMEOUT_MS;
      for (;;) {
        const again = await consoles.openSerial(vm.uid, SHARED, never).catch((error: Error) => {
          if (performance.now() > end) throw error;
        });
        if (again === undefined) continue;
        again.destroy();
        return;
      }
    });

    test('a console and a display end with the run of their VM', async () => {
      await using vm = await running(use(), withDisplay);
      const { consoles, domains } = use().source;
      const serial = await consoles.openSerial(vm.uid, SHARED, never);
      const display = await consoles.openDisplay(vm.uid, never);
      await domains.destroy(vm.uid, never);
      await Promise.all([ended(serial), ended(display)]);
    });

    test('a VM that is off has neither, and one that nobody knows is not found', async () => {
      const { source, newDefinition } = use();
      const vm = withDisplay(newDefinition());
      await source.domains.define(vm, never);
      const { consoles } = source;
      const nobody = newDefinition().uid;
      for (const call of [
        (uid: string) => consoles.openSerial(uid, SHARED, never),
        (uid: string) => consoles.openDisplay(uid, never),
        (uid: string) => consoles.takeScreenshot(uid, never),
        (uid: string) => consoles.sendKeys(uid, CTRL_ALT_DELETE, never),
      ]) {
        await rejectsWith('VM_NOT_RUNNING', call(vm.uid));
        await rejectsWith('VM_NOT_FOUND', call(nobody));
      }
      await source.domains.undefine(vm.uid, never);
    });

    test('a VM without a display has no screen to look at', async () => {
      await using vm = await running(use());
      const { consoles } = use().source;
      await rejectsWith('DISPLAY_NOT_FOUND', consoles.openDisplay(vm.uid, never));
      await rejectsWith('DISPLAY_NOT_FOUND', consoles.takeScreenshot(vm.uid, never));
    });

    test('several may look at a screen, and each picture of it is whole', async () => {
      await using vm = await running(use(), withDisplay);
      const { consoles } = use().source;
      const displays = await Promise.all([1, 2].map(() => consoles.openDisplay(vm.uid, never)));
      for (let time = 0; time < 20; time += 1) {
        const { width, height, png } = await consoles.takeScreenshot(vm.uid, never);
        assert.ok(width > 0 && height > 0);
        assert.deepEqual([...png.subarray(1, 4)], [...Buffer.from('PNG')]);
      }
      await consoles.sendKeys(vm.uid, CTRL_ALT_DELETE, never);
      for (const display of displays) display.destroy();
    });

    test('calls for nobody reject with the reason they were aborted for', async () => {
      await using vm = await running(use(), withDisplay);
      const { consoles } = use().source;
      await assertAbortable((signal) => consoles.openDisplay(vm.uid, signal));
      await assertAbortable((signal) => consoles.takeScreenshot(vm.uid, signal));
      await assertAbortable((signal) => consoles.sendKeys(vm.uid, CTRL_ALT_DELETE, signal));
      await assertAbortable((signal) => consoles.openSerial(vm.uid, SHARED, signal));
    });
  });
}

function withDisplay(vm: VmDefinition): VmDefinition {
  const { spec } = vm.spec.template;
  const template = { ...vm.spec.template, spec: { ...spec, display: { type: 'vnc' as const } } };
  return { ...vm, spec: { ...vm.spec, template } };
}

async function running(
  fixture: HypervisorFixture,
  change: (vm: VmDefinition) => VmDefinition = (vm) => vm,
): Promise<VmDefinition & AsyncDisposable> {
  const { domains } = fixture.source;
  const vm = change(fixture.newDefinition());
  await domains.define(vm, never);
  await domains.start(vm.uid, never);
  return {
    ...vm,
    async [Symbol.asyncDispose]() {
      await domains.destroy(vm.uid, never);
      await domains.undefine(vm.uid, never);
    },
  };
}

async function ended(stream: NodeJS.ReadableStream & { readonly destroyed?: boolean }) {
  stream.resume();
  if (stream.destroyed !== true) {
    await once(stream, 'close', { signal: AbortSignal.timeout(TIMEOUT_MS) });
  }
}
