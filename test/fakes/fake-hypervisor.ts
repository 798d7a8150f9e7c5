import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Hypervisor } from '../../src/drivers/hypervisor.ts';
import type {
  AdoptableVm,
  DriftedPart,
  HypervisorDisk,
  VmFacts,
  VmRunState,
  VmStateReason,
} from '../../src/drivers/hypervisor-domains.ts';
import type { HypervisorEvents, WatchdogAction } from '../../src/drivers/hypervisor-events.ts';
import type { HypervisorMigration } from '../../src/drivers/hypervisor-jobs.ts';
import { FakeHypervisorBehaviour } from './fake-hypervisor-behaviour.ts';
import {
  type DeathMoment,
  FakeHypervisorCalls,
  type GivenUp,
  type HypervisorMethod,
} from './fake-hypervisor-calls.ts';
import { FakeHypervisorConsoles } from './fake-hypervisor-consoles.ts';
import { FakeHypervisorDevices } from './fake-hypervisor-devices.ts';
import { FakeHypervisorDomains } from './fake-hypervisor-domains.ts';
import { FakeHypervisorGuestAgent, obedientGuest } from './fake-hypervisor-guest-agent.ts';
import { FakeHypervisorHost } from './fake-hypervisor-host.ts';
import { FakeHypervisorJobs } from './fake-hypervisor-jobs.ts';
import { FakeHypervisorReceiver } from './fake-hypervisor-receiver.ts';
import { FakeHypervisorStatistics } from './fake-hypervisor-statistics.ts';
import { FakeHypervisorWorld } from './fake-hypervisor-world.ts';
import type { FakeWriters } from './fake-storage.ts';
import type { FakeGuest } from './fake-vm.ts';

/** A hypervisor in memory. Passes the same contracts as the real one, and does on demand what hurts. */
export class FakeHypervisor extends FakeHypervisorBehaviour implements Hypervisor {
  readonly host: FakeHypervisorHost;
  readonly domains: FakeHypervisorDomains;
  readonly devices: FakeHypervisorDevices;
  readonly statistics: FakeHypervisorStatistics;
  readonly jobs: FakeHypervisorJobs;
  readonly consoles: FakeHypervisorConsoles;
  readonly guestAgent: FakeHypervisorGuestAgent;
  readonly events: HypervisorEvents;
  /** What another fake migrates to; see `connect`. */
  readonly socket: string;
  readonly #calls = new FakeHypervisorCalls();
  readonly #world = new FakeHypervisorWorld(this);
  #diedAt: string | undefined;
  readonly #receiver = new FakeHypervisorReceiver(this.#world, this);

  constructor(hostname = 'fake') {
    super();
    this.socket = `/run/fake/${hostname}/libvirt-sock`;
    this.host = new FakeHypervisorHost(hostname, this.#calls);
    this.domains = new FakeHypervisorDomains(this.#calls, this.#world, this);
    this.devices = new FakeHypervisorDevices(this.#calls, this.#world, this);
    this.statistics = new FakeHypervisorStatistics(this.#calls, this.#world);
    this.jobs = new FakeHypervisorJobs(this.#calls, this.#world, this);
    this.consoles = new FakeHypervisorConsoles(this.#calls, this.#world);
    this.#world.onStopped = (uid) => this.consoles.end(uid);
    this.guestAgent = new FakeHypervisorGuestAgent(this.#calls, this.#world);
    this.events = this.#world.feed;
  }

  /** Lets each migrate to the other, through its `socket` or another path that stands for it. */
  static connect(one: FakeHypervisor, other: FakeHypervisor): void {
    one.addPeer(other.socket, other);
    other.addPeer(one.socket, one);
  }

  get hostUuid(): string {
    return this.host.hostUuid;
  }

  /** Every call that has been made, such as `start 8c5d…`. */
  get calls(): readonly string[] {
    return this.#calls.made;
  }

  forgetCalls(): void {
    this.#calls.made.length = 0;
  }

  addPeer(socket: string, peer: FakeHypervisor): void {
    this.jobs.addPeer(socket, peer.#receiver);
  }

  /** The next calls of this method fail. */
  fail(method: HypervisorMethod, error: Error, times = 1): void {
    this.#calls.fail(method, error, times);
  }

  /** Calls of this method wait until the returned function is called, or their signal is aborted. */
  block(method: HypervisorMethod): () => void {
    return this.#calls.block(method);
  }

  /**
   * Calls of this method are never answered: they time out, or wait until their signal is aborted. What they were to
   * do happens all the same, when the returned function is called; from then on calls are answered again.
   */
  late(method: HypervisorMethod, givenUp: GivenUp): () => void {
    return this.#calls.late(method, givenUp);
  }

  /** Loses the connection: calls fail, VMs and migrations go on. */
  disconnect(): void {
    const error = this.#calls.disconnect();
    this.#world.feed.publish({ kind: 'disconnected', error });
  }

  reconnect(): void {
    this.#calls.reconnect();
    this.#world.feed.publish({ kind: 'connected' });
  }

  /**
   * Dies at the nth call from now on that is not a look, and is there again a little later. VMs go on; one that was being
   * started is still found so, and then off.
   */
  dieAt(call: number, moment: DeathMoment): void {
    const die = (method: HypervisorMethod, uid: string): Error => {
      this.#diedAt = `${moment} ${method}`;
      if (moment === 'amid' && method === 'start') this.#world.beginStart(uid);
      const error = this.#calls.disconnect();
      this.#world.feed.publish({ kind: 'disconnected', error });
      void this.#beginAgain();
      return error;
    };
    this.#calls.dieAt({ calls: call, moment, die });
  }

  /** Where it has died last, such as `amid start`. */
  get diedAt(): string | undefined {
    return this.#diedAt;
  }

  async #beginAgain(): Promise<void> {
    await someTurns();
    this.forgetWhyStopped();
    this.reconnect();
    await someTurns();
    this.#world.endLostStarts();
  }

  /** A run ends by itself, or by what somebody else than an agent does; `terminated` by a signal to its process. */
  stopGuest(uid: string, how: VmStateReason | 'terminated' = 'shutdown'): void {
    const vm = this.#world.vms.get(uid);
    if (vm === undefined) return;
    if (how === 'terminated') this.#world.tell(uid, 'shutdown', 'host');
    this.#world.stop(vm, how === 'terminated' ? 'shutdown' : how);
  }

  /** Gives a VM a guest whose agent does what it is asked; the answer is what becomes of it. */
  giveGuestAgent(uid: string): FakeGuest {
    const guest = obedientGuest();
    this.#world.get(uid).guest = guest;
    this.#world.feed.publish({ kind: 'guest-agent', uid });
    return guest;
  }

  /** The guest agent of a VM comes or goes. */
  connectGuestAgent(uid: string, isConnected: boolean): void {
    const { guest } = this.#world.get(uid);
    if (guest === undefined) throw new Error(`VM ${uid} has no channel for a guest agent`);
    guest.isConnected = isConnected;
    this.#world.feed.publish({ kind: 'guest-agent', uid });
  }

  /** Something pauses a VM, or has it be in another state. */
  setState(uid: string, state: VmRunState, reason: VmStateReason): void {
    this.#world.setState(this.#world.get(uid), state, reason);
    this.#world.tell(uid, 'suspended');
  }

  /** A guest ejects what is in a drive of its. */
  openDrive(uid: string, volume: string): void {
    this.#world.get(uid).openDrives.add(volume);
    this.#world.tell(uid, 'unknown');
  }

  /** A guest shuts a drive of its, with what was in it. */
  shutDrive(uid: string, volume: string): void {
    this.#world.get(uid).openDrives.delete(volume);
    this.#world.tell(uid, 'unknown');
  }

  /** A guest that was asked to reboot does. */
  rebootGuest(uid: string): void {
    // As QEMU does with the hardware's reset.
    this.#world.get(uid).openDrives.clear();
    this.#world.tell(uid, 'rebooted');
  }

  /** The watchdog of a guest fires. */
  fireWatchdog(uid: string, action: WatchdogAction): void {
    this.#world.feed.publish({ kind: 'watchdog', uid, action });
    if (action === 'pause') this.setState(uid, 'paused', 'watchdog');
    if (action === 'reset') this.rebootGuest(uid);
  }

  /** The host goes down and comes up again: nothing runs, and why is known to nobody. */
  reboot(): void {
    for (const vm of this.#world.vms.values()) this.#world.stop(vm, 'unknown');
  }

  /** What somebody does to a VM with virsh: changes its definition, or takes it away from under its run. */
  changeByHand(uid: string, part: DriftedPart): void {
    const vm = this.#world.get(uid);
    if (part === 'persistence') vm.persistent = undefined;
    else vm.drift = [...vm.drift, part];
    this.#world.tell(uid, 'defined');
  }

  /** As `virsh snapshot-create-as` gives it another disk: only who looks at the VM itself sees it, and nobody is told. */
  changeUnseen(uid: string, part: DriftedPart): void {
    const vm = this.#world.get(uid);
    vm.drift = [...vm.drift, part];
    vm.isDriftListed = false;
  }

  /** Has the VMs of this hypervisor write to storage that others may write to as well. */
  attach(writers: FakeWriters): void {
    this.#world.writers = writers;
  }

  /** Gives a VM other disks than its volumes say, as a snapshot by hand does. */
  setDisks(uid: string, disks: readonly HypervisorDisk[]): void {
    this.#world.get(uid).disks = disks;
  }

  /** What a VM's run does not say that was started by other means. */
  forgetStart(uid: string): void {
    this.#world.get(uid).runningSinceMs = undefined;
  }

  /** What a restart does to the VMs that are off: why is forgotten. */
  forgetWhyStopped(): void {
    for (const vm of this.#world.vms.values()) {
      if (vm.state === 'stopped') vm.stateReason = 'unknown';
    }
  }

  /** Uses up CPU time of a running VM. */
  burnCpu(uid: string, ns: bigint): void {
    const vm = this.#world.vms.get(uid);
    if (vm !== undefined) vm.cpuTimeNs += ns;
  }

  /** Makes a VM one whose definition is not ours. */
  addForeign(uid: string, facts: Partial<AdoptableVm> = {}): void {
    this.#world.foreign.set(uid, facts);
  }

  /** What is known of a VM that is not ours beside its definition; undefined of one that is. */
  foreignFacts(uid: string): Partial<AdoptableVm> | undefined {
    return this.#world.foreign.get(uid);
  }

  /** As virsh domrename does. */
  rename(uid: string, hypervisorName: string): void {
    this.#world.names.set(uid, hypervisorName);
  }

  /** What cloud-init in the guest of a VM reads at its next start. */
  seedOf(uid: string): string | undefined {
    const image = this.#world.seeds.get(uid);
    return image && Buffer.from(image).toString('latin1');
  }

  /** Takes that away. */
  /** Of the disks of a VM, by volume. */
  diskKeysOf(uid: string): Readonly<Record<string, string>> | undefined {
    return this.#world.diskKeys.get(uid);
  }

  /** As a hypervisor does that begins anew. */
  forgetDiskKeys(): void {
    this.#world.diskKeys.clear();
  }

  loseSeed(uid: string): void {
    this.#world.seeds.delete(uid);
  }

  /** As a VM does that was taken away by other means. */
  leaveFiles(uid: string): void {
    this.#world.files.add(uid);
  }

  /** Keeps a VM from being read until the returned function is called, which nobody is told of. */
  keepUnread(uid: string): () => void {
    this.#world.stuck.add(uid);
    return () => this.#world.stuck.delete(uid);
  }

  /** Cuts the link that a migration from here runs over. */
  cut(uid: string): void {
    this.jobs.cut(uid);
  }

  /** Takes a migration from here one iteration on. */
  advance(uid: string): void {
    this.jobs.advance(uid);
  }

  /** Ends a migration whose switchover has left pages here. */
  sendLastPages(uid: string): void {
    this.jobs.sendLastPages(uid);
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

async function someTurns(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await nextTurn();
}

/** A request to migrate to a fake hypervisor that is known under its own socket. */
export function fakeMigration(
  destination: FakeHypervisor,
  destinationFacts: Partial<VmFacts>,
): HypervisorMigration {
  return {
    transport: {
      kind: 'stream',
      destinationSocket: destination.socket,
      memorySocket: '/run/fake/memory',
    },
    mode: 'precopy',
    copiedVolumes: [],
    disks: [],
    maxDowntimeMs: undefined,
    bandwidthBytesPerSecond: undefined,
    destinationFacts,
  };
}
