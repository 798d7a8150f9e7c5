import { randomUUID } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { AgentError } from '../../src/core/errors.ts';
import { untilAborted } from '../../src/core/until-aborted.ts';
import type { VmDefinition } from '../../src/core/vm-spec.ts';
import type { Hypervisor } from '../../src/drivers/hypervisor.ts';
import type { HypervisorVm } from '../../src/drivers/hypervisor-domains.ts';
import type { HypervisorEvent, LifecycleEvent } from '../../src/drivers/hypervisor-events.ts';
import type { HypervisorInfo } from '../../src/drivers/hypervisor-host.ts';
import type { HypervisorMigration, JobStatistics } from '../../src/drivers/hypervisor-jobs.ts';
import { EventFeed } from '../../src/drivers/libvirt/event-feed.ts';
import { type FakeJob, type FakeVm, isActive, toHypervisorVm, toStatistics } from './fake-vm.ts';

/** How a switchover ends; all but `well` are what a link that breaks at that moment can lead to. */
export type SwitchoverEnd =
  | 'well'
  /** The destination runs it, but the source did not hear of it and resumes its copy. */
  | 'reply-lost'
  /** The same, with the copy at the source still stopped. */
  | 'reply-lost-held'
  /** The destination drops it, and the source leaves its copy stopped. */
  | 'held'
  /** The destination could not let it run and keeps it, stopped; the source resumes. */
  | 'stillborn';

export type HypervisorMethod = Exclude<keyof Hypervisor, symbol | 'watch'>;

/** A hypervisor in memory. Passes the same contract as the real one, and fails on demand. */
export class FakeHypervisor implements Hypervisor {
  readonly hostname: string;
  readonly hostUuid = randomUUID();
  /** What another fake migrates to; see `connect`. */
  readonly socket: string;
  /** Iterations of a migration. Each takes one turn of the event loop, unless `manualProgress` is set. */
  migrationIterations = 3;
  /** Migrations wait for `advance` instead of going on by themselves. */
  manualProgress = false;
  /** How the next switchovers from here end. */
  switchoverEnd: SwitchoverEnd = 'well';
  /** Switchovers from here wait for this, the guest being stopped. */
  switchoverGate: Promise<void> = Promise.resolve();
  /** A VM whose source has gone is not dropped by itself. */
  keepsIncoming = false;
  /** Guests take their time to power off; see `stopGuest`. */
  slowShutdown = false;
  /** Events get lost. */
  losesEvents = false;
  /** Every call that has been made, such as `start 8c5d…`. */
  readonly calls: string[] = [];

  readonly #vms = new Map<string, FakeVm>();
  readonly #feed = new EventFeed();
  readonly #peers = new Map<string, FakeHypervisor>();
  readonly #failures = new Map<HypervisorMethod, { error: Error; times: number }>();
  readonly #blocks = new Map<HypervisorMethod, Promise<void>>();
  readonly #lostListeners = new Set<(error: Error) => void>();
  readonly #advanceListeners = new Map<string, () => void>();
  readonly #foreign = new Set<string>();
  readonly #cuts = new Map<string, () => void>();
  #connected = true;

  constructor(hostname = 'fake') {
    this.hostname = hostname;
    this.socket = `/run/fake/${hostname}/libvirt-sock`;
  }

  /** Lets each migrate to the other, through its `socket` or another path that stands for it. */
  static connect(one: FakeHypervisor, other: FakeHypervisor): void {
    one.addPeer(other.socket, other);
    other.addPeer(one.socket, one);
  }

  addPeer(socket: string, peer: FakeHypervisor): void {
    this.#peers.set(socket, peer);
  }

  /** The next calls of this method fail. */
  fail(method: HypervisorMethod, error: Error, times = 1): void {
    this.#failures.set(method, { error, times });
  }

  /** Calls of this method wait until the returned function is called, or their signal is aborted. */
  block(method: HypervisorMethod): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#blocks.set(method, promise);
    return () => {
      this.#blocks.delete(method);
      resolve();
    };
  }

  /** Loses the connection: calls fail, VMs and migrations go on. */
  disconnect(): void {
    this.#connected = false;
    const error = unreachable();
    for (const lose of this.#lostListeners) lose(error);
    this.#feed.publish({ kind: 'disconnected', error });
  }

  reconnect(): void {
    this.#connected = true;
    this.#feed.publish({ kind: 'connected' });
  }

  /** The guest powers off or crashes by itself. */
  stopGuest(uid: string, reason: 'shutdown' | 'crashed' = 'shutdown'): void {
    const vm = this.#vms.get(uid);
    if (vm !== undefined) this.#stop(vm, reason);
  }

  /** Uses up CPU time of a running VM. */
  burnCpu(uid: string, ns: bigint): void {
    const vm = this.#vms.get(uid);
    if (vm !== undefined) vm.cpuTimeNs += ns;
  }

  /** Makes a VM whose definition is not one of ours. */
  addForeign(uid: string): void {
    this.#foreign.add(uid);
  }

  /** Cuts the link that a migration from here runs over. */
  cut(uid: string): void {
    this.#cuts.get(uid)?.();
  }

  /** Takes a migration from here one iteration on. */
  advance(uid: string): void {
    this.#advanceListeners.get(uid)?.();
  }

  async getInfo(signal: AbortSignal): Promise<HypervisorInfo> {
    await this.#enter('getInfo', '', signal);
    return {
      hostname: this.hostname,
      hostUuid: this.hostUuid,
      uri: `fake://${this.hostname}`,
      libvirtVersion: '9.0.0',
      libraryVersion: '9.0.0',
      qemuVersion: '7.2.22',
      architecture: 'x86_64',
      accelerators: ['tcg'],
      machineTypes: ['pc-q35-7.2', 'q35'],
      cpuModel: 'qemu64',
      processOwner: undefined,
      features: [],
    };
  }

  async list(signal: AbortSignal): Promise<readonly HypervisorVm[]> {
    await this.#enter('list', '', signal);
    return [...this.#vms.values()].map((vm) => this.#toHypervisorVm(vm));
  }

  async find(uid: string, signal: AbortSignal): Promise<HypervisorVm | undefined> {
    await this.#enter('find', uid, signal);
    const vm = this.#vms.get(uid);
    return vm && this.#toHypervisorVm(vm);
  }

  async define(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { uid, namespace, name } = definition;
    await this.#enter('define', uid, signal);
    const namesake = [...this.#vms.values()].find(
      (vm) => vm.definition.name === name && vm.definition.namespace === namespace,
    );
    if (namesake !== undefined && namesake.definition.uid !== uid) {
      throw new AgentError('VM_ALREADY_EXISTS', `Cannot define VM ${name}: the name is taken`);
    }
    const vm = this.#vms.get(uid);
    if (vm === undefined) {
      this.#vms.set(uid, newVm(definition));
    } else {
      vm.persistentDefinition = definition;
      if (!isActive(vm)) vm.definition = definition;
    }
    this.#lifecycle(uid, 'defined', vm === undefined ? 'added' : 'updated');
  }

  async start(uid: string, signal: AbortSignal): Promise<void> {
    const vm = await this.#enterVm('start', uid, signal);
    refuseIncoming(vm);
    if (isActive(vm)) return;
    vm.definition = vm.persistentDefinition ?? vm.definition;
    vm.cpuTimeNs = 0n;
    this.#setState(vm, 'running', 'booted');
    this.#lifecycle(uid, 'started', 'booted');
  }

  async shutdown(uid: string, signal: AbortSignal): Promise<void> {
    const vm = await this.#enterVm('shutdown', uid, signal);
    if (isActive(vm) && !this.slowShutdown) this.#stop(vm, 'shutdown');
  }

  async destroy(uid: string, signal: AbortSignal): Promise<void> {
    const vm = await this.#enterVm('destroy', uid, signal);
    if (isActive(vm)) this.#stop(vm, 'destroyed');
  }

  async suspend(uid: string, signal: AbortSignal): Promise<void> {
    const vm = await this.#enterVm('suspend', uid, signal);
    refuseStopped(vm);
    if (vm.state === 'paused') return;
    this.#setState(vm, 'paused', 'user');
    this.#lifecycle(uid, 'suspended', 'paused');
  }

  async resume(uid: string, signal: AbortSignal): Promise<void> {
    const vm = await this.#enterVm('resume', uid, signal);
    refuseIncoming(vm);
    refuseStopped(vm);
    if (vm.state === 'running') return;
    this.#setState(vm, 'running', 'unpaused');
    this.#lifecycle(uid, 'resumed', 'unpaused');
  }

  async undefine(uid: string, signal: AbortSignal): Promise<void> {
    await this.#enter('undefine', uid, signal);
    const vm = this.#vms.get(uid);
    if (vm === undefined) return;
    if (isActive(vm))
      throw new AgentError('VM_RUNNING', `Cannot undefine VM ${uid}: it is running`);
    this.#vms.delete(uid);
    this.#lifecycle(uid, 'undefined', 'removed');
  }

  async setDefinition(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const vm = await this.#enterVm('setDefinition', definition.uid, signal);
    vm.definition = definition;
    if (vm.persistentDefinition !== undefined) vm.persistentDefinition = definition;
  }

  async migrate(uid: string, request: HypervisorMigration, signal: AbortSignal): Promise<void> {
    const vm = await this.#enterVm('migrate', uid, signal);
    refuseStopped(vm);
    const peer = this.#peers.get(request.destinationSocket);
    if (peer === undefined) {
      throw new AgentError('MIGRATION_FAILED', `Cannot migrate VM ${uid}: no hypervisor there`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort);
    this.#lostListeners.add(reject);
    // The migration itself depends neither on the signal nor on the connection.
    this.#runMigration(vm, peer, request).then(resolve, reject);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#lostListeners.delete(reject);
    }
  }

  async getJob(uid: string, signal: AbortSignal): Promise<JobStatistics | undefined> {
    const vm = await this.#enterVm('getJob', uid, signal);
    return vm.job && toStatistics(vm, vm.job, 'unbounded');
  }

  async getCompletedJob(uid: string, signal: AbortSignal): Promise<JobStatistics | undefined> {
    return (await this.#enterVm('getCompletedJob', uid, signal)).completedJob;
  }

  async abortJob(uid: string, signal: AbortSignal): Promise<void> {
    const vm = await this.#enterVm('abortJob', uid, signal);
    if (vm.job?.operation === 'migration-in') {
      throw new AgentError('VM_BUSY', `Cannot stop the job of VM ${uid}: stop it at its source`);
    }
    if (vm.job?.isSwitchingOver === true) {
      throw new AgentError('MIGRATION_PAST_SWITCHOVER', `Cannot stop the job of VM ${uid}`);
    }
    vm.job?.cancel();
  }

  async setMaxDowntime(uid: string, downtimeMs: number, signal: AbortSignal): Promise<void> {
    const vm = await this.#enterVm('setMaxDowntime', uid, signal);
    refuseStopped(vm);
    if (vm.job !== undefined) vm.job.maxDowntimeMs = downtimeMs;
  }

  watch(signal: AbortSignal): AsyncIterable<HypervisorEvent> {
    return this.#feed.watch(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #runMigration(
    vm: FakeVm,
    peer: FakeHypervisor,
    request: HypervisorMigration,
  ): Promise<void> {
    const { uid } = vm.definition;
    const cancelled = new AbortController();
    const job = (operation: FakeJob['operation']): FakeJob => ({
      operation,
      iteration: 0,
      iterations: this.migrationIterations,
      maxDowntimeMs: request.maxDowntimeMs,
      cancel: () => cancelled.abort(),
    });
    const outgoing = job('migration-out');
    const arriving = peer.#receive(request.destinationDefinition, job('migration-in'));
    vm.job = outgoing;
    this.#cuts.set(uid, () => cancelled.abort());
    try {
      while (outgoing.iteration < outgoing.iterations) {
        await this.#nextIteration(uid, cancelled.signal);
        if (cancelled.signal.aborted || !isActive(vm) || !isActive(arriving)) {
          peer.#dropIncoming(arriving);
          throw new AgentError('MIGRATION_FAILED', `Cannot migrate VM ${uid}: it was stopped`);
        }
        outgoing.iteration += 1;
        const { iteration } = outgoing;
        this.#feed.publish({ kind: 'migration-iteration', uid, iteration });
      }
      await this.#switchOver(vm, peer, arriving);
    } finally {
      this.#cuts.delete(uid);
      vm.job = undefined;
    }
  }

  async #switchOver(vm: FakeVm, peer: FakeHypervisor, arriving: FakeVm): Promise<void> {
    const { uid } = vm.definition;
    const { job } = vm;
    if (job === undefined) return;
    job.isSwitchingOver = true;
    this.#setState(vm, 'paused', 'migration');
    this.#lifecycle(uid, 'suspended', 'migrated');
    await this.switchoverGate;
    const statistics = toStatistics(vm, job, 'completed');
    const end = this.switchoverEnd;
    const arrives = end === 'well' || end === 'reply-lost' || end === 'reply-lost-held';
    if (arrives) peer.#arrive(arriving, { ...statistics, operation: 'migration-in' });
    else if (end === 'held') peer.#dropIncoming(arriving);
    else peer.#failToRun(arriving);
    if (end === 'well') {
      this.#vms.delete(uid);
      this.#lifecycle(uid, 'stopped', 'migrated');
      this.#feed.publish({ kind: 'job-completed', uid, statistics });
      return;
    }
    if (end === 'reply-lost' || end === 'stillborn') {
      this.#setState(vm, 'running', 'migration-canceled');
      this.#lifecycle(uid, 'resumed', 'migrated');
    }
    throw new AgentError('MIGRATION_FAILED', `Cannot migrate VM ${uid}: the link broke`);
  }

  #dropIncoming(arriving: FakeVm): void {
    const { uid } = arriving.definition;
    arriving.job = undefined;
    if (!this.keepsIncoming && this.#vms.get(uid) === arriving) this.#vms.delete(uid);
  }

  #failToRun(arriving: FakeVm): void {
    arriving.persistentDefinition = arriving.definition;
    arriving.job = undefined;
    this.#stop(arriving, 'failed');
  }

  #toHypervisorVm(vm: FakeVm): HypervisorVm {
    const seen = toHypervisorVm(vm);
    return this.#foreign.has(seen.uid) ? { ...seen, definition: undefined } : seen;
  }

  async #nextIteration(uid: string, cancelled: AbortSignal): Promise<void> {
    if (!this.manualProgress) {
      await nextTurn();
      return;
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#advanceListeners.set(uid, resolve);
    cancelled.addEventListener('abort', () => resolve());
    await promise;
    this.#advanceListeners.delete(uid);
  }

  #receive(definition: VmDefinition, job: FakeJob): FakeVm {
    const vm: FakeVm = { ...newVm(definition), persistentDefinition: undefined, job };
    this.#setState(vm, 'incoming', 'migration');
    this.#vms.set(definition.uid, vm);
    this.#lifecycle(definition.uid, 'started', 'migrated');
    return vm;
  }

  #arrive(vm: FakeVm, statistics: JobStatistics): void {
    const { uid } = vm.definition;
    vm.persistentDefinition = vm.definition;
    vm.job = undefined;
    vm.completedJob = statistics;
    this.#setState(vm, 'running', 'migrated');
    this.#lifecycle(uid, 'defined', 'added');
    this.#lifecycle(uid, 'resumed', 'migrated');
  }

  #stop(vm: FakeVm, reason: string): void {
    const { uid } = vm.definition;
    this.#setState(vm, 'stopped', reason);
    if (vm.persistentDefinition === undefined) this.#vms.delete(uid);
    else vm.definition = vm.persistentDefinition;
    this.#lifecycle(uid, 'stopped', reason);
  }

  #setState(vm: FakeVm, state: FakeVm['state'], reason: string): void {
    vm.state = state;
    vm.stateReason = reason;
  }

  #lifecycle(uid: string, event: LifecycleEvent, detail: string): void {
    if (!this.losesEvents) this.#feed.publish({ kind: 'lifecycle', uid, event, detail });
  }

  async #enterVm(method: HypervisorMethod, uid: string, signal: AbortSignal): Promise<FakeVm> {
    await this.#enter(method, uid, signal);
    const vm = this.#vms.get(uid);
    if (vm === undefined)
      throw new AgentError('VM_NOT_FOUND', `Cannot ${method} VM ${uid}: no such VM`);
    return vm;
  }

  async #enter(method: HypervisorMethod, uid: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.calls.push(`${method} ${uid}`.trim());
    const blocked = this.#blocks.get(method);
    if (blocked !== undefined) await untilAborted(blocked, signal);
    // Nothing that a real hypervisor does is done in the same turn.
    await nextTurn();
    signal.throwIfAborted();
    if (!this.#connected) throw unreachable();
    const failure = this.#failures.get(method);
    if (failure === undefined) return;
    failure.times -= 1;
    if (failure.times <= 0) this.#failures.delete(method);
    throw failure.error;
  }
}

function newVm(definition: VmDefinition): FakeVm {
  return {
    definition,
    persistentDefinition: definition,
    state: 'stopped',
    stateReason: '',
    cpuTimeNs: 0n,
    job: undefined,
    completedJob: undefined,
  };
}

function unreachable(): AgentError {
  return new AgentError('HYPERVISOR_UNREACHABLE', 'Cannot reach the fake hypervisor');
}

function refuseStopped(vm: FakeVm): void {
  if (isActive(vm)) return;
  throw new AgentError('VM_NOT_RUNNING', `VM ${vm.definition.uid} does not run`);
}

function refuseIncoming(vm: FakeVm): void {
  if (vm.job?.operation !== 'migration-in') return;
  throw new AgentError('VM_BUSY', `VM ${vm.definition.uid} is arriving by a migration`);
}
