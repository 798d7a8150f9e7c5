import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { HypervisorEvent } from '../../src/drivers/hypervisor-events.ts';
import {
  never,
  rejectsWith,
  started,
  TIMEOUT_MS,
  type UseFixture,
  until,
  writtenByNewerAgent,
} from './hypervisor-fixture.ts';

/** What a hypervisor must do with migrations, from here and to here. */
export function testHypervisorJobs(use: UseFixture): void {
  describe('jobs: without one', () => testNoJob(use));
  describe('jobs: migrations', () => testMigrations(use));
}

function testNoJob(use: UseFixture): void {
  test('a VM without a job has none to read, and stopping it counts as done', async () => {
    const { domains, jobs } = use().source;
    const vm = await started(use());
    assert.deepEqual(await jobs.findObstacles(vm.uid, never), []);
    assert.equal(await jobs.getJob(vm.uid, never), undefined);
    assert.equal(await jobs.getCompletedJob(vm.uid, never), undefined);
    await jobs.abortJob(vm.uid, never);
    await domains.destroy(vm.uid, never);
    assert.equal(await jobs.getJob(vm.uid, never), undefined);
    await jobs.abortJob(vm.uid, never);
  });

  test('an unknown VM is not found', async () => {
    const { source, newDefinition, migration } = use();
    const vm = newDefinition();
    const { jobs } = source;
    await rejectsWith('VM_NOT_FOUND', jobs.migrate(vm.uid, migration(vm, 'fast'), never));
    await rejectsWith('VM_NOT_FOUND', jobs.findObstacles(vm.uid, never));
    await rejectsWith('VM_NOT_FOUND', jobs.getJob(vm.uid, never));
    await rejectsWith('VM_NOT_FOUND', jobs.getCompletedJob(vm.uid, never));
    await rejectsWith('VM_NOT_FOUND', jobs.abortJob(vm.uid, never));
    await rejectsWith('VM_NOT_FOUND', jobs.setMaxDowntime(vm.uid, 100, never));
  });

  test('a stopped VM cannot be migrated', async () => {
    const { source, newDefinition, migration } = use();
    const vm = newDefinition();
    await source.domains.define(vm, never);
    const migrating = source.jobs.migrate(vm.uid, migration(vm, 'fast'), never);
    await rejectsWith('VM_NOT_RUNNING', migrating);
  });

  test('what cannot be done yet is refused, and the VM runs on', async () => {
    const { source, destination, migration } = use();
    const vm = await started(use());
    const request = migration(vm, 'fast');
    for (const change of [
      { transport: { kind: 'direct', destinationHost: '192.0.2.1' } },
      { mode: 'postcopy' },
      { copiedVolumes: ['root'] },
    ] as const) {
      const migrating = source.jobs.migrate(vm.uid, { ...request, ...change }, never);
      await rejectsWith('FEATURE_NOT_SUPPORTED', migrating);
    }
    assert.equal((await source.domains.find(vm.uid, never))?.state, 'running');
    assert.equal(await destination.domains.find(vm.uid, never), undefined);
    await source.domains.destroy(vm.uid, never);
  });
}

function testMigrations(use: UseFixture): void {
  test('a migrated VM runs at the destination with its new facts, and is gone here', async () => {
    const { source, destination, migration } = use();
    const vm = await started(use());
    const request = migration(vm, 'fast');
    const before = await source.domains.find(vm.uid, never);
    assert.ok(before?.runningSinceMs);
    const completed = nextCompletion(source.events.watch(AbortSignal.timeout(TIMEOUT_MS)), vm.uid);
    await source.jobs.migrate(vm.uid, request, never);
    const found = await destination.domains.find(vm.uid, never);
    assert.deepEqual([found?.state, found?.stateReason], ['running', 'migrated']);
    assert.equal(found?.persistent, true);
    assert.equal(found?.runningSinceMs, before.runningSinceMs);
    assert.deepEqual(found?.definition, { ...vm, ...request.destinationFacts });
    assert.equal(await source.domains.find(vm.uid, never), undefined);
    const job = await destination.jobs.getCompletedJob(vm.uid, never);
    assert.equal(job?.operation, 'migration-in');
    assert.ok((job?.memoryTotalBytes ?? 0n) > 0n);
    assert.equal(job?.disks, undefined);
    assert.equal((await completed).operation, 'migration-out');
    await destination.domains.destroy(vm.uid, never);
    const stopped = await destination.domains.find(vm.uid, never);
    assert.deepEqual(stopped?.definition, { ...vm, ...request.destinationFacts });
  });

  test('a change that waits for the next start arrives with its VM', async () => {
    const { source, destination, migration } = use();
    const vm = await started(use());
    const changed = { ...vm, generation: 2 };
    await source.domains.define(changed, never);
    const request = migration(vm, 'fast');
    await source.jobs.migrate(vm.uid, request, never);
    const found = await destination.domains.find(vm.uid, never);
    assert.deepEqual(found?.definition, { ...changed, ...request.destinationFacts });
    assert.deepEqual(found?.liveDefinition, { ...vm, ...request.destinationFacts });
    await destination.domains.destroy(vm.uid, never);
  });

  test('what a newer agent has written arrives byte for byte', async () => {
    const { source, destination, migration, newDefinition } = use();
    const vm = writtenByNewerAgent(newDefinition());
    await source.domains.define(vm, never);
    await source.domains.start(vm.uid, never);
    const request = migration(vm, 'fast');
    await source.jobs.migrate(vm.uid, request, never);
    const found = await destination.domains.find(vm.uid, never);
    assert.deepEqual(found?.definition, { ...vm, ...request.destinationFacts });
    assert.equal(found?.definition?.newer?.manifest, vm.newer?.manifest);
    assert.equal(found?.liveDefinition, undefined);
    await destination.domains.destroy(vm.uid, never);
  });

  test('a migration can be looked at and stopped; the VM then runs on here only', async () => {
    const { source, destination, migration } = use();
    const vm = await started(use(), 'large');
    const migrating = source.jobs.migrate(vm.uid, migration(vm, 'slow'), never);
    const failed = rejectsWith('MIGRATION_FAILED', migrating);
    await until('the job shows figures', async () => {
      const job = await source.jobs.getJob(vm.uid, never);
      return job?.operation === 'migration-out' && job.memoryTotalBytes > 0n;
    });
    const listed = await destination.domains.list(never);
    assert.equal(listed.find(({ uid }) => uid === vm.uid)?.state, 'incoming');
    const incoming = await destination.jobs.getJob(vm.uid, never);
    assert.equal(incoming?.operation, 'migration-in');
    await rejectsWith('VM_BUSY', destination.domains.start(vm.uid, never));
    await rejectsWith('VM_BUSY', destination.domains.resume(vm.uid, never));
    await rejectsWith('VM_BUSY', destination.jobs.abortJob(vm.uid, never));
    await source.jobs.setMaxDowntime(vm.uid, 10, never);
    await source.jobs.abortJob(vm.uid, never);
    await failed;
    const found = await source.domains.find(vm.uid, never);
    assert.equal(found?.state, 'running');
    assert.deepEqual(found?.definition, vm);
    assert.equal(await source.jobs.getJob(vm.uid, never), undefined);
    await until('the destination has let go', async () => {
      return (await destination.domains.find(vm.uid, never)) === undefined;
    });
    await source.domains.destroy(vm.uid, never);
  });

  test('whoever stops waiting for a migration does not stop it', async () => {
    const { source, destination, migration } = use();
    const vm = await started(use(), 'medium');
    const controller = new AbortController();
    const reason = new Error('enough');
    // Slow, or it could have arrived before anybody has stopped waiting.
    const migrating = source.jobs.migrate(vm.uid, migration(vm, 'slow'), controller.signal);
    const stoppedWaiting = assert.rejects(migrating, reason);
    await until('the VM is on its way', async () => {
      return (await destination.domains.find(vm.uid, never)) !== undefined;
    });
    controller.abort(reason);
    await stoppedWaiting;
    await until('the VM has arrived', async () => {
      return (await destination.domains.find(vm.uid, never))?.state === 'running';
    });
    await until('the VM is gone', async () => {
      return (await source.domains.find(vm.uid, never)) === undefined;
    });
    await destination.domains.destroy(vm.uid, never);
  });

  test('a migration to nowhere fails and leaves the VM running', async () => {
    const { source, migration } = use();
    const vm = await started(use());
    const request = migration(vm, 'fast');
    assert.equal(request.transport.kind, 'stream');
    const transport = {
      kind: 'stream',
      memorySocket: '/nowhere/memory',
      destinationSocket: '/nowhere/socket',
    } as const;
    const migrating = source.jobs.migrate(vm.uid, { ...request, transport }, never);
    await rejectsWith('HYPERVISOR_REFUSED', migrating);
    assert.equal((await source.domains.find(vm.uid, never))?.state, 'running');
    await source.domains.destroy(vm.uid, never);
  });
}

async function nextCompletion(events: AsyncIterable<HypervisorEvent>, uid: string) {
  for await (const event of events) {
    if (event.kind === 'job-completed' && event.uid === uid) return event.statistics;
  }
  throw new Error('The event never came');
}
