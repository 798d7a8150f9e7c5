import { setImmediate as nextTurn } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../src/core/errors.ts';
import type { VmFacts } from '../../src/drivers/hypervisor-domains.ts';
import type {
  HypervisorJobs,
  HypervisorMigration,
  JobStatistics,
  MigrationObstacle,
} from '../../src/drivers/hypervisor-jobs.ts';
import type { FakeHypervisorBehaviour } from './fake-hypervisor-behaviour.ts';
import type { FakeHypervisorCalls } from './fake-hypervisor-calls.ts';
import type { FakeHypervisorReceiver } from './fake-hypervisor-receiver.ts';
import { type FakeHypervisorWorld, refuseStopped } from './fake-hypervisor-world.ts';
import { disksOf, type FakeJob, type FakeVm, isActive, toJobStatistics } from './fake-vm.ts';

/** Migrations from one hypervisor in memory to another. */
export class FakeHypervisorJobs implements HypervisorJobs {
  readonly #calls: FakeHypervisorCalls;
  readonly #world: FakeHypervisorWorld;
  readonly #behaviour: FakeHypervisorBehaviour;
  readonly #peers = new Map<string, FakeHypervisorReceiver>();
  readonly #advanceListeners = new Map<string, () => void>();
  readonly #cuts = new Map<string, () => void>();
  readonly #pagesLeft = new Map<string, () => void>();

  constructor(
    calls: FakeHypervisorCalls,
    world: FakeHypervisorWorld,
    behaviour: FakeHypervisorBehaviour,
  ) {
    this.#calls = calls;
    this.#world = world;
    this.#behaviour = behaviour;
  }

  addPeer(socket: string, peer: FakeHypervisorReceiver): void {
    this.#peers.set(socket, peer);
  }

  cut(uid: string): void {
    this.#cuts.get(uid)?.();
  }

  advance(uid: string): void {
    this.#advanceListeners.get(uid)?.();
  }

  sendLastPages(uid: string): void {
    this.#pagesLeft.get(uid)?.();
    this.#pagesLeft.delete(uid);
  }

  async migrate(uid: string, request: HypervisorMigration, signal: AbortSignal): Promise<void> {
    const { ended } = await this.#calls.perform('migrate', uid, signal, () =>
      this.#begin(uid, request),
    );
    // The migration itself depends neither on the signal nor on the connection.
    await this.#calls.waitFor(ended, signal);
  }

  findObstacles(uid: string, signal: AbortSignal): Promise<readonly MigrationObstacle[]> {
    return this.#calls.perform('findObstacles', uid, signal, () => {
      this.#world.get(uid);
      return this.#behaviour.obstacles;
    });
  }

  getJob(uid: string, signal: AbortSignal): Promise<JobStatistics | undefined> {
    return this.#calls.perform('getJob', uid, signal, () => {
      const vm = this.#world.get(uid);
      return vm.job && toJobStatistics(vm, vm.job, 'unbounded');
    });
  }

  getCompletedJob(uid: string, signal: AbortSignal): Promise<JobStatistics | undefined> {
    return this.#calls.perform(
      'getCompletedJob',
      uid,
      signal,
      () => this.#world.get(uid).completedJob,
    );
  }

  abortJob(uid: string, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('abortJob', uid, signal, () => {
      const { job } = this.#world.get(uid);
      if (job?.operation === 'migration-in') {
        throw new AgentError('VM_BUSY', `Cannot stop the job of VM ${uid}: stop it at its source`);
      }
      if (job?.isSwitchingOver === true) {
        throw new AgentError('MIGRATION_PAST_SWITCHOVER', `Cannot stop the job of VM ${uid}`);
      }
      job?.cancel();
    });
  }

  setMaxDowntime(uid: string, downtimeMs: number, signal: AbortSignal): Promise<void> {
    return this.#calls.perform('setMaxDowntime', uid, signal, () => {
      const vm = this.#world.get(uid);
      refuseStopped(vm);
      if (vm.job !== undefined) vm.job.maxDowntimeMs = downtimeMs;
    });
  }

  #begin(uid: string, request: HypervisorMigration): { readonly ended: Promise<void> } {
    const vm = this.#world.get(uid);
    const socket = socketOf(request);
    refuseStopped(vm);
    if (!isDeepStrictEqual(disksOf(vm), request.disks)) {
      throw new AgentError(
        'MIGRATION_BLOCKED',
        `Cannot migrate VM ${vm.live.name}: it has other disks now`,
      );
    }
    const peer = this.#peers.get(socket);
    if (peer === undefined) {
      throw new AgentError(
        'HYPERVISOR_REFUSED',
        `Cannot migrate VM ${vm.live.name}: no hypervisor there`,
      );
    }
    const ended = this.#run(vm, peer, request);
    // Whoever waits for it hears of a failure; it may be that nobody does.
    ended.catch(() => undefined);
    return { ended };
  }

  async #run(
    vm: FakeVm,
    peer: FakeHypervisorReceiver,
    request: HypervisorMigration,
  ): Promise<void> {
    const { uid } = vm.live;
    const { destinationFacts, maxDowntimeMs } = request;
    const cancelled = new AbortController();
    const job = (operation: FakeJob['operation']): FakeJob => ({
      operation,
      iteration: 0,
      iterations: this.#behaviour.migrationIterations,
      maxDowntimeMs,
      cancel: () => cancelled.abort(),
    });
    const outgoing = job('migration-out');
    const arriving = peer.receive(
      { ...vm.live, ...destinationFacts },
      vm.disks,
      job('migration-in'),
    );
    arriving.runningSinceMs = vm.runningSinceMs;
    arriving.kept = vm.kept;
    vm.job = outgoing;
    this.#cuts.set(uid, () => cancelled.abort());
    try {
      while (outgoing.iteration < outgoing.iterations) {
        await this.#nextIteration(uid, cancelled.signal);
        if (cancelled.signal.aborted || !isActive(vm) || !isActive(arriving)) {
          peer.drop(arriving);
          throw new AgentError(
            'MIGRATION_FAILED',
            `Cannot migrate VM ${vm.live.name}: it was stopped`,
          );
        }
        outgoing.iteration += 1;
        const { iteration } = outgoing;
        this.#world.feed.publish({ kind: 'migration-iteration', uid, iteration });
      }
      await this.#switchOver(vm, outgoing, peer, arriving, destinationFacts);
    } finally {
      this.#cuts.delete(uid);
      vm.job = undefined;
    }
  }

  async #switchOver(
    vm: FakeVm,
    job: FakeJob,
    peer: FakeHypervisorReceiver,
    arriving: FakeVm,
    facts: Partial<VmFacts>,
  ): Promise<void> {
    const { uid } = vm.live;
    job.isSwitchingOver = true;
    this.#world.setState(vm, 'paused', 'migration');
    this.#world.tell(uid, 'suspended', 'migration');
    await this.#behaviour.switchoverGate;
    const statistics = toJobStatistics(vm, job, 'completed');
    const persistent = { ...(vm.persistent ?? vm.live), ...facts };
    const arrive = (): void =>
      peer.arrive(arriving, persistent, { ...statistics, operation: 'migration-in' });
    switch (this.#behaviour.switchoverEnd) {
      case 'well':
        arrive();
        return this.#leave(uid, statistics);
      case 'reply-lost':
        arrive();
        this.#goOn(vm);
        break;
      case 'reply-lost-held':
        arrive();
        break;
      case 'held':
        peer.drop(arriving);
        break;
      case 'stillborn':
        peer.failToRun(arriving);
        this.#goOn(vm);
        break;
      case 'pages-left':
        peer.arriveWithoutPages(arriving, persistent);
        this.#world.setState(vm, 'paused', 'postcopy-failed');
        this.#pagesLeft.set(uid, () => {
          arrive();
          this.#leave(uid, statistics);
        });
    }
    throw new AgentError('HYPERVISOR_REFUSED', `Cannot migrate VM ${vm.live.name}: the link broke`);
  }

  #leave(uid: string, statistics: JobStatistics): void {
    if (this.#behaviour.keepsMigrated) this.#world.stop(this.#world.get(uid), 'migrated');
    else this.#world.vms.delete(uid);
    this.#world.tell(uid, 'stopped', 'migration');
    this.#world.feed.publish({ kind: 'job-completed', uid, statistics });
  }

  /** With its disks locked by the other copy it stays as it is. */
  #goOn(vm: FakeVm): void {
    if (!this.#world.openDisks(vm)) return;
    this.#world.setState(vm, 'running', 'migration-cancelled');
    this.#world.tell(vm.live.uid, 'resumed', 'migration');
  }

  async #nextIteration(uid: string, cancelled: AbortSignal): Promise<void> {
    if (!this.#behaviour.manualProgress) {
      await nextTurn();
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#advanceListeners.set(uid, resolve);
    cancelled.addEventListener('abort', () => resolve());
    await promise;
    this.#advanceListeners.delete(uid);
  }
}

/** Where the other hypervisor is. Refuses what the real driver refuses. */
function socketOf({ transport, mode, copiedVolumes }: HypervisorMigration): string {
  if (transport.kind === 'stream' && mode === 'precopy' && copiedVolumes.length === 0) {
    return transport.destinationSocket;
  }
  throw new AgentError('FEATURE_NOT_SUPPORTED', 'Cannot migrate in that way yet');
}
