import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Reason } from '../../src/core/errors.ts';
import { hasReason } from '../../src/core/errors.ts';
import type { VmDefinition } from '../../src/core/vm-spec.ts';
import type {
  Hypervisor,
  HypervisorEvent,
  HypervisorMigration,
} from '../../src/drivers/hypervisor.ts';

export interface HypervisorFixture extends AsyncDisposable {
  readonly source: Hypervisor;
  readonly destination: Hypervisor;
  /** A new VM that can be started and, `large`, takes long enough to migrate slowly that it can be looked at. */
  newDefinition(size?: 'small' | 'large'): VmDefinition;
  /** A request to migrate from source to destination. */
  migration(definition: VmDefinition, speed: 'fast' | 'slow'): HypervisorMigration;
}

const never = new AbortController().signal;
const TIMEOUT_MS = 30_000;

/** What every hypervisor must do. */
export function testHypervisor(
  name: string,
  createFixture: () => Promise<HypervisorFixture>,
  skip: string | false = false,
): void {
  describe(`${name} as a hypervisor`, { skip }, () => {
    let fixture: HypervisorFixture;
    let source: Hypervisor;
    let destination: Hypervisor;
    before(async () => {
      fixture = await createFixture();
      ({ source, destination } = fixture);
    });
    after(() => fixture[Symbol.asyncDispose]());

    async function started(size: 'small' | 'large' = 'small'): Promise<VmDefinition> {
      const vm = fixture.newDefinition(size);
      await source.define(vm, never);
      await source.start(vm.uid, never);
      return vm;
    }

    test('two hosts tell themselves apart', async () => {
      const [one, other] = await Promise.all([source.getInfo(never), destination.getInfo(never)]);
      assert.notEqual(one.hostUuid, other.hostUuid);
      assert.notEqual(one.hostUuid, '');
      assert.match(one.libvirtVersion, /^\d+\.\d+\.\d+$/);
    });

    test('a defined VM is listed, stopped, with its definition', async () => {
      const vm = fixture.newDefinition();
      await source.define(vm, never);
      const listed = (await source.list(never)).find(({ uid }) => uid === vm.uid);
      assert.equal(listed?.state, 'stopped');
      assert.equal(listed?.hypervisorName, `${vm.namespace}_${vm.name}`);
      assert.equal(listed?.persistent, true);
      assert.equal(listed?.statistics, undefined);
      assert.deepEqual(listed?.definition, vm);
      assert.deepEqual(await source.find(vm.uid, never), listed);
    });

    test('defining a VM again replaces its definition', async () => {
      const vm = fixture.newDefinition();
      await source.define(vm, never);
      await source.define({ ...vm, generation: 2 }, never);
      assert.equal((await source.find(vm.uid, never))?.definition?.generation, 2);
      const listed = (await source.list(never)).filter(({ uid }) => uid === vm.uid);
      assert.deepEqual(
        listed.map(({ definition }) => definition?.generation),
        [2],
      );
    });

    test('a name can be had by one VM only', async () => {
      const vm = fixture.newDefinition();
      await source.define(vm, never);
      const namesake = { ...vm, uid: randomUUID() };
      await rejectsWith('VM_ALREADY_EXISTS', source.define(namesake, never));
    });

    test('a started VM runs and has statistics, and starting it again changes nothing', async () => {
      const vm = await started();
      await source.start(vm.uid, never);
      const found = await source.find(vm.uid, never);
      assert.equal(found?.state, 'running');
      assert.equal(found?.statistics?.vcpus, vm.spec.cpu.vcpus);
      assert.ok((found?.statistics?.memoryActualBytes ?? 0) >= vm.spec.memory.sizeBytes);
      await source.destroy(vm.uid, never);
    });

    test('a VM can be suspended and resumed, each more than once', async () => {
      const vm = await started();
      await source.suspend(vm.uid, never);
      await source.suspend(vm.uid, never);
      const { state, stateReason } = (await source.find(vm.uid, never)) ?? {};
      assert.deepEqual([state, stateReason], ['paused', 'user']);
      await source.resume(vm.uid, never);
      await source.resume(vm.uid, never);
      assert.equal((await source.find(vm.uid, never))?.state, 'running');
      await source.destroy(vm.uid, never);
    });

    test('a stopped VM can neither be suspended nor resumed nor migrated', async () => {
      const vm = fixture.newDefinition();
      await source.define(vm, never);
      await rejectsWith('VM_NOT_RUNNING', source.suspend(vm.uid, never));
      await rejectsWith('VM_NOT_RUNNING', source.resume(vm.uid, never));
      const request = fixture.migration(vm, 'fast');
      await rejectsWith('VM_NOT_RUNNING', source.migrate(vm.uid, request, never));
    });

    test('stopping a stopped VM counts as done', async () => {
      const vm = await started();
      await source.destroy(vm.uid, never);
      await source.destroy(vm.uid, never);
      await source.shutdown(vm.uid, never);
      const { state, stateReason } = (await source.find(vm.uid, never)) ?? {};
      assert.deepEqual([state, stateReason], ['stopped', 'destroyed']);
    });

    test('a running VM is not forgotten, a stopped one is, and forgetting repeats', async () => {
      const vm = await started();
      await rejectsWith('VM_RUNNING', source.undefine(vm.uid, never));
      await source.destroy(vm.uid, never);
      await source.undefine(vm.uid, never);
      await source.undefine(vm.uid, never);
      assert.equal(await source.find(vm.uid, never), undefined);
      assert.ok(!(await source.list(never)).some(({ uid }) => uid === vm.uid));
    });

    test('a changed definition is seen at once and outlives the run', async () => {
      const vm = await started();
      const changed = { ...vm, ownershipEpoch: 7, labels: { tier: 'öl & <gas>' } };
      await source.setDefinition(changed, never);
      const listed = (await source.list(never)).find(({ uid }) => uid === vm.uid);
      assert.deepEqual(listed?.definition, changed);
      await source.destroy(vm.uid, never);
      assert.deepEqual((await source.find(vm.uid, never))?.definition, changed);
    });

    test('an unknown VM is not found', async () => {
      const vm = fixture.newDefinition();
      const { uid } = vm;
      assert.equal(await source.find(uid, never), undefined);
      await rejectsWith('VM_NOT_FOUND', source.start(uid, never));
      await rejectsWith('VM_NOT_FOUND', source.shutdown(uid, never));
      await rejectsWith('VM_NOT_FOUND', source.destroy(uid, never));
      await rejectsWith('VM_NOT_FOUND', source.suspend(uid, never));
      await rejectsWith('VM_NOT_FOUND', source.resume(uid, never));
      await rejectsWith('VM_NOT_FOUND', source.setDefinition(vm, never));
      await rejectsWith('VM_NOT_FOUND', source.migrate(uid, fixture.migration(vm, 'fast'), never));
      await rejectsWith('VM_NOT_FOUND', source.getJob(uid, never));
      await rejectsWith('VM_NOT_FOUND', source.getCompletedJob(uid, never));
      await rejectsWith('VM_NOT_FOUND', source.abortJob(uid, never));
      await rejectsWith('VM_NOT_FOUND', source.setMaxDowntime(uid, 100, never));
    });

    test('a VM without a job has none to read, and stopping it counts as done', async () => {
      const vm = await started();
      assert.equal(await source.getJob(vm.uid, never), undefined);
      assert.equal(await source.getCompletedJob(vm.uid, never), undefined);
      await source.abortJob(vm.uid, never);
      await source.destroy(vm.uid, never);
      assert.equal(await source.getJob(vm.uid, never), undefined);
      await source.abortJob(vm.uid, never);
    });

    test('an aborted call rejects with the reason it was aborted for', async () => {
      const reason = new Error('enough');
      await assert.rejects(source.list(AbortSignal.abort(reason)), reason);
      const controller = new AbortController();
      const call = source.list(controller.signal);
      controller.abort(reason);
      await assert.rejects(call, reason);
    });

    test('watching gives what happens from the call on, and ends when aborted', async () => {
      const controller = new AbortController();
      const events = source.watch(controller.signal);
      const vm = await started();
      await source.destroy(vm.uid, never);
      const seen: string[] = [];
      for await (const event of events) {
        if (event.kind !== 'lifecycle' || event.uid !== vm.uid) continue;
        seen.push(event.event);
        if (event.event === 'stopped') controller.abort();
      }
      assert.equal(seen[0], 'defined');
      assert.ok(seen.includes('started'));
      assert.equal(seen.at(-1), 'stopped');
    });

    test('a migrated VM runs at the destination with its new definition, and is gone here', async () => {
      const vm = await started();
      const request = fixture.migration(vm, 'fast');
      const completed = nextEvent(source, ({ kind }) => kind === 'job-completed');
      await source.migrate(vm.uid, request, never);
      const found = await destination.find(vm.uid, never);
      assert.equal(found?.state, 'running');
      assert.equal(found?.stateReason, 'migrated');
      assert.equal(found?.persistent, true);
      assert.deepEqual(found?.definition, request.destinationDefinition);
      assert.equal(await source.find(vm.uid, never), undefined);
      const job = await destination.getCompletedJob(vm.uid, never);
      assert.equal(job?.operation, 'migration-in');
      assert.ok((job?.memoryTotalBytes ?? 0n) > 0n);
      const event = await completed;
      assert.equal(event.kind === 'job-completed' && event.statistics.operation, 'migration-out');
      await destination.destroy(vm.uid, never);
      const stopped = await destination.find(vm.uid, never);
      assert.deepEqual(stopped?.definition, request.destinationDefinition);
    });

    test('a migration can be looked at and stopped; the VM then runs on here only', async () => {
      const vm = await started('large');
      const migration = source.migrate(vm.uid, fixture.migration(vm, 'slow'), never);
      const failed = rejectsWith('MIGRATION_FAILED', migration);
      await until('the job shows figures', async () => {
        const job = await source.getJob(vm.uid, never);
        return job?.operation === 'migration-out' && job.memoryTotalBytes > 0n;
      });
      const incoming = (await destination.list(never)).find(({ uid }) => uid === vm.uid);
      assert.equal(incoming?.state, 'incoming');
      assert.equal((await destination.getJob(vm.uid, never))?.operation, 'migration-in');
      await rejectsWith('VM_BUSY', destination.start(vm.uid, never));
      await rejectsWith('VM_BUSY', destination.resume(vm.uid, never));
      await rejectsWith('VM_BUSY', destination.abortJob(vm.uid, never));
      await source.setMaxDowntime(vm.uid, 10, never);
      await source.abortJob(vm.uid, never);
      await failed;
      const found = await source.find(vm.uid, never);
      assert.equal(found?.state, 'running');
      assert.deepEqual(found?.definition, vm);
      assert.equal(await source.getJob(vm.uid, never), undefined);
      await until('the destination has let go', async () => {
        return (await destination.find(vm.uid, never)) === undefined;
      });
      await source.destroy(vm.uid, never);
    });

    test('whoever stops waiting for a migration does not stop it', async () => {
      const vm = await started();
      const controller = new AbortController();
      const reason = new Error('enough');
      // Slow, or it could have arrived before anybody has stopped waiting.
      const request = fixture.migration(vm, 'slow');
      const migration = source.migrate(vm.uid, request, controller.signal);
      const stoppedWaiting = assert.rejects(migration, reason);
      await until('the VM is on its way', async () => {
        return (await destination.find(vm.uid, never)) !== undefined;
      });
      controller.abort(reason);
      await stoppedWaiting;
      await until('the VM has arrived', async () => {
        return (await destination.find(vm.uid, never))?.state === 'running';
      });
      await until('the VM is gone', async () => (await source.find(vm.uid, never)) === undefined);
      await destination.destroy(vm.uid, never);
    });

    test('a migration to nowhere fails and leaves the VM running', async () => {
      const vm = await started();
      const request = { ...fixture.migration(vm, 'fast'), destinationSocket: '/nowhere/socket' };
      await rejectsWith('MIGRATION_FAILED', source.migrate(vm.uid, request, never));
      assert.equal((await source.find(vm.uid, never))?.state, 'running');
      await source.destroy(vm.uid, never);
    });
  });
}

async function rejectsWith(reason: Reason, work: Promise<unknown>): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(hasReason(error, reason), `${reason} was expected, not ${String(error)}`);
    return true;
  });
}

async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + TIMEOUT_MS;
  while (!(await condition())) {
    assert.ok(performance.now() < endMs, `Waited in vain: ${what}`);
    await sleep(5);
  }
}

async function nextEvent(
  hypervisor: Hypervisor,
  matches: (event: HypervisorEvent) => boolean,
): Promise<HypervisorEvent> {
  for await (const event of hypervisor.watch(AbortSignal.timeout(TIMEOUT_MS))) {
    if (matches(event)) return event;
  }
  throw new Error('The event never came');
}
