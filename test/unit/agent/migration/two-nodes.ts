import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { type Agent, buildAgent } from '../../../../src/agent/build-agent.ts';
import { EventStore } from '../../../../src/agent/events/event-store.ts';
import { SightStore } from '../../../../src/agent/events/sight-store.ts';
import { FreezeStore } from '../../../../src/agent/guests/freeze-store.ts';
import type { IncomingManager } from '../../../../src/agent/migration/incoming-manager.ts';
import type { MigrationSpec } from '../../../../src/agent/migration/migration.ts';
import type { MigrationRecord } from '../../../../src/agent/migration/migration-record.ts';
import { MigrationStore, toRecord } from '../../../../src/agent/migration/migration-store.ts';
import type { Pace } from '../../../../src/agent/migration/pace.ts';
import type { Peer, Peers } from '../../../../src/agent/migration/peers.ts';
import { NodeSpecStore } from '../../../../src/agent/node/node-spec-store.ts';
import { ReservationStore } from '../../../../src/agent/node/reservation-store.ts';
import { OperationStore } from '../../../../src/agent/operations/operation-store.ts';
import { RunStore } from '../../../../src/agent/runs/run-store.ts';
import { ShutdownStore } from '../../../../src/agent/shutdown/shutdown-store.ts';
import { IdentificationStore } from '../../../../src/agent/vms/identification-store.ts';
import { Ownership } from '../../../../src/agent/vms/ownership.ts';
import type { OwnershipManager } from '../../../../src/agent/vms/ownership-manager.ts';
import { OwnershipStore } from '../../../../src/agent/vms/ownership-store.ts';
import { seedImage } from '../../../../src/core/cloud-init-seed.ts';
import { DISK_KEYS_FILE, type DiskKeys, writeDiskKeys } from '../../../../src/core/disk-keys.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { createLogger, type Logger } from '../../../../src/core/logger.ts';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import { formatOf, pathOf, type Volume } from '../../../../src/core/resources/volume.ts';
import type { VmDefinition } from '../../../../src/core/vm-definition.ts';
import type { Hypervisor } from '../../../../src/drivers/hypervisor.ts';
import type { HypervisorVm } from '../../../../src/drivers/hypervisor-domains.ts';
import { TCG } from '../../../fakes/fake-boot-probe.ts';
import { FakeBridges } from '../../../fakes/fake-bridges.ts';
import { FakeDiskFiles } from '../../../fakes/fake-disk-files.ts';
import { FakeHookRunner } from '../../../fakes/fake-hook-runner.ts';
import { fakeHost } from '../../../fakes/fake-host.ts';
import { FakeHypervisor } from '../../../fakes/fake-hypervisor.ts';
import { FakeImageFetcher } from '../../../fakes/fake-image-fetcher.ts';
import { FakeImageStore } from '../../../fakes/fake-image-store.ts';
import { FakeImages } from '../../../fakes/fake-images.ts';
import { FakeNodeSecrets } from '../../../fakes/fake-node-secrets.ts';
import { FakePrivateFiles } from '../../../fakes/fake-private-files.ts';
import { FakeStorage } from '../../../fakes/fake-storage.ts';
import { FakeTransferNetwork, FakeTransfers } from '../../../fakes/fake-transfers.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { Life } from './mortal.ts';

export const never = new AbortController().signal;
/** Room for many VMs that move at once. */
/** A VM that is created must have something to boot. */
export const KERNEL_PATH = '/boot/vmlinuz';
/** What VMs write to unless a test says otherwise. */
export const ROOT: Volume = {
  name: 'root',
  kind: 'disk',
  cache: 'none',
  format: 'qcow2',
  shared: true,
  source: { file: { path: '/srv/images/web.qcow2' } },
};
/** The same on a device, which QEMU's locks do not keep other hosts from. */
export const LUN: Volume = {
  name: 'lun',
  kind: 'disk',
  cache: 'none',
  shared: true,
  source: { block: { path: '/dev/mapper/lun0' } },
};
const HOST_BYTES = 16 * 1024 ** 3;

const PACE: Pace = {
  lookMs: 1,
  tellMs: 2,
  lookMaxMs: 3,
  retryMs: 1,
  retryMaxMs: 4,
  stopTimeoutMs: 5,
  dropTimeoutMs: 5,
  lastWordsMs: 100,
};

export type PeerMethod = Exclude<keyof Peer, 'nodeName'>;

/** What the network does to calls between agents. */
export class Wire {
  unreachable = false;
  /** Calls of these methods are carried out, but their answers are lost. */
  readonly lostAnswers = new Set<PeerMethod>();
  /** Calls of these methods never get through. */
  readonly lostCalls = new Set<PeerMethod>();
  /** Called with each method that gets through, before it does. */
  onCall: (method: PeerMethod) => void | Promise<void> = () => {};

  async carry<T>(method: PeerMethod, call: () => Promise<T>): Promise<T> {
    await Promise.resolve();
    if (this.unreachable || this.lostCalls.has(method)) throw unreachable();
    await this.onCall(method);
    const answer = await call();
    if (this.unreachable || this.lostAnswers.has(method)) throw unreachable();
    return answer;
  }
}

function unreachable(): AgentError {
  return new AgentError('PEER_UNREACHABLE', 'The other node does not answer');
}

/** The hypervisor as an agent reaches it that can be killed at any step. */
function guardHypervisor(life: Life, hypervisor: FakeHypervisor): Hypervisor {
  const { host, domains, devices, statistics, jobs, consoles, guestAgent, events } = hypervisor;
  return {
    host: life.guard('host', host),
    domains: life.guard('domains', domains, ['list', 'effectOf', 'expire']),
    devices: life.guard('devices', devices),
    statistics,
    jobs: life.guard('jobs', jobs),
    consoles,
    guestAgent: life.guard('guestAgent', guestAgent),
    events,
    async [Symbol.asyncDispose]() {},
  };
}

/** All that is gone when an agent is killed. */
export interface TestAgent extends Agent {
  readonly life: Life;
}

/** A node: what outlives its agent, and the agent that it has now. */
export class TestNode {
  readonly name: string;
  readonly hypervisor: FakeHypervisor;
  readonly transfers: FakeTransfers;
  readonly privateFiles = new FakePrivateFiles();
  readonly nodeSecrets = new FakeNodeSecrets();
  readonly images = withKernel();
  readonly diskFiles = new FakeDiskFiles(this.images);
  readonly imageStore = new FakeImageStore(this.images, this.diskFiles, '/srv/disks');
  /** What is published where images come from. */
  readonly fetcher = new FakeImageFetcher(this.imageStore.incoming);
  readonly bridges = new FakeBridges('br0');
  readonly hooks = new FakeHookRunner();
  readonly storage: FakeStorage;
  readonly journal = new MemoryJournal();
  readonly migrationStore = new MigrationStore(this.journal.database);
  readonly ownershipStore = new OwnershipStore(this.journal.database);
  /** Set to make the node refuse VMs as if they could not work here. */
  invalid: AgentError | undefined;
  agent!: TestAgent;
  /** Calls from here to the other node. */
  readonly wire = new Wire();
  #peers: readonly TestNode[] = [];
  /** Nodes that are not heard from here; whoever else is. */
  readonly parted = new Set<string>();
  /** Brings the agent back as soon as it has been killed. */
  restarts = true;
  /** Its agents are not configured with the address of the other node. */
  forgetsPeers = false;
  log: Logger = createLogger('silent');
  #epoch = 0;

  constructor(name: string, network: FakeTransferNetwork, storage: FakeStorage) {
    this.name = name;
    this.storage = storage;
    this.hypervisor = new FakeHypervisor(name);
    this.hypervisor.attach(storage.writersOf(name));
    this.transfers = new FakeTransfers(network, `/run/${name}`);
  }

  /** A migration as it is in the journal. */
  record(id: string): MigrationRecord | undefined {
    return this.records().find((record) => record.id === id);
  }

  records(): readonly MigrationRecord[] {
    return this.journal.rows('SELECT * FROM migration').map(toRecord);
  }

  /** Who owns which VM, as the next agent would find it. */
  ownership(): Promise<Ownership> {
    return Ownership.load(this.ownershipStore);
  }

  connect(...peers: readonly TestNode[]): void {
    this.#peers = peers;
  }

  /** Starts an agent on what the one before has left. */
  async boot(): Promise<void> {
    this.#epoch += 1;
    this.agent = await this.#newAgent();
    this.agent.resume();
    const { life, inventory, reconciler, tasks } = this.agent;
    tasks.run('reconciler', (signal) => reconciler.run(signal));
    inventory.refresh(never).catch(() => undefined);
    life.death.catch(() => {
      this.storage.dropMarksOf(this.name);
      if (this.restarts) setImmediate(() => void this.boot());
    });
  }

  /** Without power, until `boot`: what ran here does not any more. */
  async powerOff(): Promise<void> {
    this.restarts = false;
    this.agent.life.kill();
    for (const { uid, state } of await this.hypervisor.domains.list(never)) {
      if (state !== 'stopped') await this.hypervisor.domains.destroy(uid, never);
    }
  }

  async find(uid: string): Promise<HypervisorVm | undefined> {
    return (await this.hypervisor.domains.list(never)).find((vm) => vm.uid === uid);
  }

  async #newAgent(): Promise<TestAgent> {
    const { name: nodeName } = this;
    const life = new Life();
    const agent = await buildAgent({
      nodeName,
      agentVersion: '1.2.3',
      agentEpoch: this.#epoch,
      advertiseAddress: `${nodeName}.example:7443`,
      host: fakeHost({ memoryBytes: HOST_BYTES }),
      reservedMemoryBytes: 0,
      dedicatedCpus: 0,
      minMemory: '16Mi',
      startsAtOnce: 4,
      accelerator: TCG,
      hasDiskLeases: false,
      migrationDefaults: { maxDowntimeMs: 300, bandwidthBytesPerSecond: 1_000 },
      hypervisor: guardHypervisor(life, this.hypervisor),
      transfers: life.guard('transfers', this.transfers, ['socketPath']),
      images: this.images,
      diskFiles: life.guard('diskFiles', this.diskFiles),
      diskFolder: '/srv/disks',
      imageStore: life.guard('imageStore', this.imageStore, ['foresee']),
      imageFetcher: life.guard('imageFetcher', this.fetcher),
      imageLimits: { maxImageBytes: 2 ** 40, cacheBytes: 2 ** 36 },
      bridges: this.bridges,
      diskProbe: life.guard('diskProbe', this.storage.probeOf(nodeName)),
      hooks: life.guard('hooks', this.hooks),
      privateFiles: life.guard('privateFiles', this.privateFiles),
      nodeSecrets: this.nodeSecrets,
      console: { read: (): AsyncIterable<Uint8Array> => never as never },
      peers: this.#newPeers(life),
      stores: {
        migrations: life.guard('journal', this.migrationStore),
        ownership: life.guard('ownership', this.ownershipStore),
        operations: life.guard('operations', new OperationStore(this.journal.database)),
        identification: new IdentificationStore(this.journal.database),
        nodeSpec: life.guard('nodeSpec', new NodeSpecStore(this.journal.database)),
        reservations: new ReservationStore(this.journal.database),
        runs: life.guard('runs', new RunStore(this.journal.database)),
        shutdown: life.guard('shutdown', new ShutdownStore(this.journal.database)),
        freezes: life.guard('freezes', new FreezeStore(this.journal.database)),
        events: new EventStore(this.journal.database),
        sights: new SightStore(this.journal.database),
      },
      storageHealth: () => ({ reason: 'Healthy', message: '' }),
      pace: PACE,
      log: this.log,
    });
    // What a dead agent still tries has no effect; this only keeps it from trying for ever.
    life.death.catch(() => void agent.tasks[Symbol.asyncDispose]());
    const { validator } = agent;
    const validate = validator.validateIncoming.bind(validator);
    validator.validateIncoming = async (...check) => {
      if (this.invalid !== undefined) throw this.invalid;
      await validate(...check);
    };
    return { life, ...agent };
  }

  #newPeers(life: Life): Peers {
    const find: Peers['find'] = (nodeName) => {
      const node = this.#peers.find(({ name }) => name === nodeName);
      if (node === undefined || this.forgetsPeers) {
        throw new AgentError('PEER_UNKNOWN', `There is no node ${nodeName}`);
      }
      return life.guard('peer', this.#newPeer(node));
    };
    return {
      list: () => this.#peers.map((node) => life.guard('peer', this.#newPeer(node))),
      find,
      visit: async (nodeName, address, work) => work(find(nodeName, address)),
    };
  }

  #newPeer(node: TestNode): Peer {
    const carry = <T>(
      method: PeerMethod,
      call: (service: IncomingManager, ownership: OwnershipManager) => Promise<T>,
    ): Promise<T> =>
      this.wire.carry(method, async () => {
        if (this.parted.has(node.name)) throw unreachable();
        const { life, incoming, ownershipManager } = node.agent;
        if (life.killed) throw unreachable();
        return await Promise.race([
          call(incoming, ownershipManager),
          life.death.catch(() => Promise.reject(unreachable())),
        ]);
      });
    const caller = this.name;
    return {
      nodeName: node.name,
      handshake: (request, signal) => carry('handshake', (to) => to.handshake(request, signal)),
      check: (incoming, signal) => carry('check', (to) => to.check(incoming, caller, signal)),
      compareImages: (_uid, images, signal) =>
        carry('compareImages', (to) => to.compareImages(images, signal)),
      prepare: (request, signal) => carry('prepare', (to) => to.prepare(request, caller, signal)),
      get: (id, uid, signal) => carry('get', (to) => to.get(id, uid, caller, signal)),
      reportProgress: (id, progress) =>
        carry('reportProgress', (to) => to.reportProgress(id, progress, caller)),
      release: (id, uid, end, signal) =>
        carry('release', (to) => to.release(id, uid, end, caller, signal)),
      locate: (uid, signal) =>
        carry('locate', (_to, ownership) => ownership.locate(uid, caller, signal)),
      handOver: (vmUid, ownershipEpoch, signal) =>
        carry('handOver', (_to, ownership) =>
          ownership.handOver({ vmUid, ownershipEpoch }, caller, signal),
        ),
    };
  }
}

function withKernel(): FakeImages {
  const images = new FakeImages();
  images.add(KERNEL_PATH);
  return images;
}

/** Two nodes with a VM that runs on the first, and a migration of it that is yet to be started. */
export class TwoNodes implements Disposable {
  readonly source: TestNode;
  readonly destination: TestNode;
  readonly vm: VmDefinition;
  readonly storage = new FakeStorage();
  readonly id = randomUUID();
  readonly #network = new FakeTransferNetwork();
  #third: TestNode | undefined;

  private constructor(vm: VmDefinition) {
    const network = this.#network;
    this.source = new TestNode('a', network, this.storage);
    this.destination = new TestNode('b', network, this.storage);
    this.vm = vm;
    this.source.connect(this.destination);
    this.destination.connect(this.source);
    this.route(this.id);
    this.source.transfers.onEnd = (id) => this.#cut(id, this.destination);
    this.destination.transfers.onEnd = (id) => this.#cut(id, this.source);
  }

  static async open(
    changes: Partial<VmDefinition> = {},
    options: {
      readonly userData?: string;
      readonly log?: Logger;
      /** What its volumes are; both nodes have them on the same storage. */
      readonly volumes?: Machine['volumes'];
      readonly networks?: Machine['networks'];
      readonly lifecycle?: Machine['lifecycle'];
      readonly cpu?: Machine['cpu'];
      /** Of its disks, by volume. */
      readonly diskKeys?: DiskKeys;
    } = {},
  ): Promise<TwoNodes> {
    const { userData, log, volumes = [ROOT], networks, lifecycle, cpu, diskKeys } = options;
    const digest = createHash('sha256')
      .update(userData ?? '')
      .digest('hex');
    const machine = {
      ...(userData !== undefined && { userData: `sha256:${digest}` }),
      volumes,
      ...(networks !== undefined && { networks }),
      ...(lifecycle && { lifecycle }),
      ...(cpu && { cpu }),
    };
    const keys = diskKeys && writeDiskKeys(diskKeys);
    const privateFiles = {
      ...(userData !== undefined && { 'user-data': digest }),
      ...(keys && { [DISK_KEYS_FILE]: createHash('sha256').update(keys).digest('hex') }),
    };
    const nodes = new TwoNodes(tinyVm({ name: 'web', privateFiles, ...changes }, machine));
    for (const node of [nodes.source, nodes.destination]) node.log = log ?? node.log;
    for (const volume of volumes) nodes.#shareVolume(volume, [nodes.source, nodes.destination]);
    await nodes.source.boot();
    await nodes.destination.boot();
    const { hypervisor } = nodes.source;
    await nodes.source.agent.ownership.own(nodes.vm);
    await hypervisor.domains.define(nodes.vm, never);
    if (userData !== undefined) {
      const content = Buffer.from(userData);
      await nodes.source.privateFiles.put(nodes.vm.uid, 'user-data', content, never);
      await hypervisor.domains.putSeed(
        nodes.vm.uid,
        seedImage(nodes.vm, { userData: content, password: undefined }),
        never,
      );
    }
    if (keys !== undefined && diskKeys !== undefined) {
      await nodes.source.privateFiles.put(nodes.vm.uid, DISK_KEYS_FILE, keys, never);
      await hypervisor.domains.putDiskKeys(nodes.vm.uid, diskKeys, never);
    }
    await hypervisor.domains.start(nodes.vm.uid, never);
    await nodes.source.agent.inventory.refresh(never);
    await nodes.destination.agent.inventory.refresh(never);
    return nodes;
  }

  #shareVolume(volume: Volume, among: readonly TestNode[]): void {
    const path = pathOf(volume) ?? '';
    const format = formatOf(volume);
    const isBlock = volume.source?.block !== undefined;
    for (const { images } of among) {
      images.add(path, { format, kind: isBlock ? 'block-device' : 'file' });
    }
    const name = path.split('/').at(-1) ?? '';
    const facts = isBlock
      ? ({ kind: 'block', deviceId: `naa.${name}`, sizeBytes: 2 ** 20 } as const)
      : ({ kind: 'file', name, format, sizeBytes: 2 ** 20, fileId: '6969:7' } as const);
    const names = among.map(({ name: node }) => node);
    this.storage.put(names, path, { facts });
  }

  /** Adds a node `c` that the two know, and that knows them. */
  async addThird(volumes: readonly Volume[] = []): Promise<TestNode> {
    const { source, destination } = this;
    const third = new TestNode('c', this.#network, this.storage);
    this.#third = third;
    for (const volume of volumes) this.#shareVolume(volume, [third]);
    source.connect(destination, third);
    destination.connect(source, third);
    third.connect(source, destination);
    await third.boot();
    await third.agent.inventory.refresh(never);
    return third;
  }

  /** Migrates the VM once more, to its end. */
  async move(from: TestNode, to: TestNode): Promise<void> {
    const id = randomUUID();
    from.hypervisor.addPeer(from.transfers.socketPath(id, 'libvirt'), to.hypervisor);
    const spec = { ...this.spec, destinationNode: to.name };
    await from.agent.migrations.start({ id, spec, labels: {}, requestedBy: 'tester' }, never);
    await until('it has moved on', () => from.record(id)?.endedAtMs !== undefined);
    assert.equal(from.record(id)?.phase, 'completed');
  }

  get spec(): MigrationSpec {
    return {
      vm: { namespace: this.vm.namespace, name: this.vm.name, uid: undefined },
      destinationNode: 'b',
      destinationAddress: undefined,
      maxDowntimeMs: undefined,
      bandwidthBitsPerSecond: undefined,
      timeoutMs: undefined,
    };
  }

  /** Lets the transfer of a migration lead to the other node's hypervisor. */
  route(id: string): void {
    const { source, destination } = this;
    source.hypervisor.addPeer(source.transfers.socketPath(id, 'libvirt'), destination.hypervisor);
  }

  start(changes: Partial<MigrationSpec> = {}) {
    const spec = { ...this.spec, ...changes };
    return this.source.agent.migrations.start(
      { id: this.id, spec, labels: {}, requestedBy: 'tester' },
      never,
    );
  }

  /** The migration as its source has recorded it, once it has ended. */
  async ended(id = this.id): Promise<MigrationRecord> {
    await until('the migration ends', () => this.source.record(id)?.endedAtMs !== undefined);
    const record = this.source.record(id);
    assert.ok(record);
    return record;
  }

  async reached(phase: MigrationRecord['phase']): Promise<void> {
    await until(`it is ${phase}`, () => this.source.record(this.id)?.phase === phase);
  }

  /** Starts the migration, and leaves it in the middle of its copy; `advance` of the source's hypervisor goes on. */
  async copying(changes: Partial<MigrationSpec> = {}): Promise<void> {
    this.source.hypervisor.manualProgress = true;
    await this.start(changes);
    await until('the VM is on its way', async () => {
      return (await this.destination.find(this.vm.uid))?.state === 'incoming';
    });
  }

  /** Starts the migration, and leaves it in its switchover; the returned function lets it go on. */
  async switchingOver(changes: Partial<MigrationSpec> = {}): Promise<() => void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.source.hypervisor.switchoverGate = promise;
    await this.start(changes);
    await this.reached('switching-over');
    return resolve;
  }

  /** Nothing is left of migrations but their records, and the VM is on one node only, as it should be. */
  async assertSound(id = this.id): Promise<void> {
    const { source, destination, vm } = this;
    for (const node of [source, destination]) {
      const { transfers, name } = node;
      await until(`the agent of node ${name} lives`, () => !node.agent.life.killed);
      // A transfer that nobody connects to gives up after a while.
      for (const { id: waiting, state } of await transfers.list(never)) {
        if (state === 'listening') transfers.fail(waiting, 'Nobody came');
      }
      await until(`node ${name} has ended its migrations`, () =>
        node.records().every(({ endedAtMs }) => endedAtMs !== undefined),
      );
      await until(`node ${name} has no transfers`, async () => {
        return (await transfers.list(never)).length === 0;
      });
      await until(`node ${name} has unlocked the VM`, () => !node.agent.locks.purposeOf(vm.uid));
      await until(`node ${name} has freed the memory`, () => {
        return node.agent.capacity.findHolding(vm.namespace, vm.name) === undefined;
      });
    }
    assert.deepEqual(this.storage.violations, []);
    await until('no mark is left', () => this.storage.marks.size === 0);
    const completed = source.record(id)?.phase === 'completed';
    const [has, lacks] = completed ? [destination, source] : [source, destination];
    assert.equal(await lacks.find(vm.uid), undefined, `node ${lacks.name} has a copy`);
    const copy = await has.find(vm.uid);
    for (const [name, digest] of Object.entries(vm.privateFiles)) {
      await has.privateFiles.read(vm.uid, name, digest, never);
    }
    await until(`node ${lacks.name} has no files of the VM`, async () => {
      return (await lacks.privateFiles.listVms(never)).length === 0;
    });
    assert.equal(copy?.definition?.ownershipEpoch, vm.ownershipEpoch + (completed ? 1 : 0));
    const ownership = await source.ownership();
    if (completed) {
      assert.ok(ownership.isStale(vm), 'the source knows that it has left');
      const there = (await destination.ownership()).find(vm.uid);
      assert.equal(there?.left, undefined);
      assert.equal(there?.ownershipEpoch, vm.ownershipEpoch + 1);
      assert.equal(destination.record(id)?.phase, 'completed');
      assert.ok(source.record(id)?.result, 'a completed migration has figures');
    } else {
      assert.ok(!ownership.isStale(vm), 'the source still owns it');
      assert.notEqual(destination.record(id)?.phase, 'completed');
    }
  }

  /** Exactly one copy runs, and it is on this node. */
  async assertRunsOn(node: TestNode): Promise<void> {
    await this.assertSound();
    assert.equal((await node.find(this.vm.uid))?.state, 'running');
  }

  [Symbol.dispose](): void {
    for (const node of [this.source, this.destination, this.#third]) {
      if (node === undefined) continue;
      node.restarts = false;
      node.agent.life.kill();
    }
  }

  /** A migration cannot outlive its transfer, nor can one end of that. */
  #cut(id: string, other: TestNode): void {
    other.transfers.fail(id, 'The other end has gone');
    const record = this.source.record(id);
    if (record !== undefined) this.source.hypervisor.cut(record.vmUid);
  }
}
