import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HypervisorEvent } from '../../src/drivers/hypervisor-events.ts';
import { never, started, TIMEOUT_MS, type UseFixture } from './hypervisor-fixture.ts';

/** What a hypervisor must tell by itself. */
export function testHypervisorEvents(use: UseFixture): void {
  describe('events', () => {
    test('watching gives what happens from the call on, and ends when aborted', async () => {
      const { source } = use();
      const controller = new AbortController();
      const events = source.events.watch(controller.signal);
      const vm = await started(use());
      await source.domains.destroy(vm.uid, never);
      const seen: string[] = [];
      for await (const event of events) {
        if (event.kind !== 'lifecycle' || event.uid !== vm.uid) continue;
        seen.push(event.event);
        assert.ok(!event.byMigration);
        if (event.event === 'stopped') controller.abort();
      }
      assert.equal(seen[0], 'defined');
      assert.ok(seen.includes('started'));
      assert.equal(seen.at(-1), 'stopped');
    });

    test('a pause that a user asked for is told apart from that of a switchover', async () => {
      const fixture = use();
      const { source, destination } = fixture;
      const vm = await started(fixture);
      const byUser = nextSuspension(source.events.watch(AbortSignal.timeout(TIMEOUT_MS)), vm.uid);
      await source.domains.suspend(vm.uid, never);
      assert.equal((await byUser).byMigration, false);
      await source.domains.resume(vm.uid, never);
      const events = source.events.watch(AbortSignal.timeout(TIMEOUT_MS));
      const bySwitchover = nextSuspension(events, vm.uid);
      await source.jobs.migrate(vm.uid, fixture.migration(vm, 'fast'), never);
      assert.equal((await bySwitchover).byMigration, true);
      await destination.domains.destroy(vm.uid, never);
    });
  });
}

async function nextSuspension(events: AsyncIterable<HypervisorEvent>, uid: string) {
  for await (const event of events) {
    if (event.kind !== 'lifecycle' || event.uid !== uid) continue;
    if (event.event === 'suspended') return event;
  }
  throw new Error('The event never came');
}
