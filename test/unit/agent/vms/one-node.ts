import assert from 'node:assert/strict';
import { type Agent, buildAgent } from '../../../../src/agent/build-agent.ts';
import { EventStore } from '../../../../src/agent/events/event-store.ts';
import { SightStore } from '../../../../src/agent/events/sight-store.ts';
import { FreezeStore } from '../../../../src/agent/guests/freeze-store.ts';
import { MigrationStore } from '../../../../src/agent/migration/migration-store.ts';
import type { Peers } from '../../../../src/agent/migration/peers.ts';
import { NodeSpecStore } from '../../../../src/agent/node/node-spec-store.ts';
import { ReservationStore } from '../../../../src/agent/node/reservation-store.ts';
import { OperationStore } from '../../../../src/agent/operations/operation-store.ts';
import { RunStore } from '../../../../src/agent/runs/run-store.ts';
import { ShutdownStore } from '../../../../src/agent/shutdown/shutdown-store.ts';
import { IdentificationStore } from '../../../../src/agent/vms/identification-store.ts';
import { Ownership } from '../../../../src/agent/vms/ownership.ts';
import { type OwnershipRecord, OwnershipStore } from '../../../../src/agent/vms/ownership-store.ts';
import type { CreateOptions, VmRef } from '../../../../src/agent/vms/vm.ts';
import { bootClockMs } from '../../../../src/core/boot-clock.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { EVERYTHING as ALL_LABELS } from '../../../../src/core/label-selector.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import { nodeMemoryBytesOf } from '../../../../src/core/resources/machine-amounts.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import type { RunStrategy } from '../../../../src/core/resources/virtual-machine.ts';
import type { ConsoleReader } from '../../../../src/drivers/console.ts';
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

export const never = new AbortController().signal;
export const EVERYTHING = { namespace: '', labels: ALL_LABELS };
export const WHOLE = { size: 0, token: '' };
/** A VM must have something to boot. */
const KERNEL_PATH = '/boot/vmlinuz';
/** What a VM of 64 MiB takes of its node. */
const VM_BYTES = nodeMemoryBytesOf({ resources: { cpu: '1', memory: '64Mi' } });
/** Where disks are made. */
export const DISK_FOLDER = '/srv/disks';
const RESERVED_BYTES = 64 * 1024 ** 2;

const ALONE: Peers = {
  list: () => [],
  find(nodeName) {
    throw new AgentError('PEER_UNKNOWN', `There is no node ${nodeName}`);
  },
  async visit(nodeName, address, work) {
    return work(this.find(nodeName, address));
  },
};

/** What a node keeps over the lives of its agents. */
export type NodeJournal = Pick<MemoryJournal, 'database' | 'text' | 'rows'> & Disposable;

/** An agent on a node with room for two VMs of 64 MiB, unless told otherwise, and with no other node to reach unless it is given some. */
export class OneNode implements AsyncDisposable {
  readonly hypervisor: FakeHypervisor;
  /** The files of the node. */
  readonly images: FakeImages;
  /** Disks that were made, in `DISK_FOLDER`. */
  readonly diskFiles: FakeDiskFiles;
  /** Has `br0`. */
  readonly bridges: FakeBridges;
  readonly privateFiles: FakePrivateFiles;
  readonly nodeSecrets: FakeNodeSecrets;
  readonly transfers: FakeTransfers;
  /** Programs of the node that may be run around the life of VMs. */
  readonly hooks: FakeHookRunner;
  /** What is published where images come from. */
  readonly fetcher: FakeImageFetcher;
  readonly imageStore: FakeImageStore;
  readonly agent: Agent;
  readonly #journal: NodeJournal;

  private constructor(
    journal: NodeJournal,
    hypervisor: FakeHypervisor,
    images: FakeImages,
    diskFiles: FakeDiskFiles,
    bridges: FakeBridges,
    privateFiles: FakePrivateFiles,
    nodeSecrets: FakeNodeSecrets,
    transfers: FakeTransfers,
    hooks: FakeHookRunner,
    fetcher: FakeImageFetcher,
    imageStore: FakeImageStore,
    agent: Agent,
  ) {
    this.#journal = journal;
    this.hypervisor = hypervisor;
    this.images = images;
    this.diskFiles = diskFiles;
    this.bridges = bridges;
    this.privateFiles = privateFiles;
    this.nodeSecrets = nodeSecrets;
    this.transfers = transfers;
    this.hooks = hooks;
    this.fetcher = fetcher;
    this.imageStore = imageStore;
    this.agent = agent;
  }

  static async open({
    peers = ALONE,
    resyncIntervalMs = 20,
    firstRestartDelayMs = 1,
    firstResumeDelayMs = 1,
    unreadPatienceMs = 10_000,
    startsAtOnce = 4,
    lookIntervalMs = 60_000,
    bootId = 'boot',
    memoryVms = 2,
    cacheBytes = 2 ** 36,
    accelerator = TCG,
    log = createLogger('silent'),
    hypervisor = new FakeHypervisor(),
    journal = newJournal(),
    /** Whether the journal has not caught up yet with what the hypervisor has. */
    isNewJournal = false,
    bootClock = bootClockMs,
    console = newConsole(),
    storage = new FakeStorage(),
    hooks = new FakeHookRunner(),
  } = {}): Promise<OneNode> {
    const images = new FakeImages();
    const diskFiles = new FakeDiskFiles(images);
    const imageStore = new FakeImageStore(images, diskFiles, DISK_FOLDER);
    const fetcher = new FakeImageFetcher(imageStore.incoming);
    const bridges = new FakeBridges('br0');
    const privateFiles = new FakePrivateFiles();
    const nodeSecrets = new FakeNodeSecrets();
    images.add(KERNEL_PATH);
    const identification = new IdentificationStore(journal.database);
    if (!isNewJournal) await identification.put({ isComplete: true, acceptedBy: undefined });
    const transfers = new FakeTransfers(new FakeTransferNetwork(), '/run/a');
    const agent = await buildAgent({
      nodeName: 'a',
      agentVersion: '1.2.3',
      agentEpoch: 3,
      advertiseAddress: 'a.example:7443',
      host: fakeHost({ bootId, memoryBytes: memoryVms * VM_BYTES + RESERVED_BYTES }),
      reservedMemoryBytes: RESERVED_BYTES,
      dedicatedCpus: 0,
      minMemory: '64Mi',
      accelerator,
      hasDiskLeases: false,
      migrationDefaults: { maxDowntimeMs: 300, bandwidthBytesPerSecond: 0 },
      hypervisor,
      transfers,
      images,
      diskFiles,
      diskFolder: DISK_FOLDER,
      imageStore,
      imageFetcher: fetcher,
      imageLimits: { maxImageBytes: 2 ** 40, cacheBytes },
      bridges,
      diskProbe: storage.probeOf('a'),
      hooks,
      privateFiles,
      nodeSecrets,
      console,
      peers,
      stores: {
        migrations: new MigrationStore(journal.database),
        ownership: new OwnershipStore(journal.database),
        operations: new OperationStore(journal.database),
        identification,
        nodeSpec: new NodeSpecStore(journal.database),
        reservations: new ReservationStore(journal.database),
        runs: new RunStore(journal.database),
        shutdown: new ShutdownStore(journal.database),
        freezes: new FreezeStore(journal.database),
        events: new EventStore(journal.database),
        sights: new SightStore(journal.database),
      },
      storageHealth: () => ({ reason: 'Healthy', message: '' }),
      resyncIntervalMs,
      firstRestartDelayMs,
      firstResumeDelayMs,
      startsAtOnce,
      lookIntervalMs,
      unreadPatienceMs,
      bootClock,
      consoleSettleMs: 200,
      gatherMs: 1,
      log,
    });
    return new OneNode(
      journal,
      hypervisor,
      images,
      diskFiles,
      bridges,
      privateFiles,
      nodeSecrets,
      transfers,
      hooks,
      fetcher,
      imageStore,
      agent,
    );
  }

  /** What the next agent of this node finds. */
  get journal(): NodeJournal {
    return this.#journal;
  }

  /** Ends the agent, and gives what the next one of this node finds. */
  async leave(): Promise<Pick<OneNode, 'hypervisor' | 'journal'>> {
    await this.agent.tasks[Symbol.asyncDispose]();
    const { hypervisor, journal } = this;
    return { hypervisor, journal };
  }

  get inventory() {
    return this.agent.inventory;
  }

  get vms() {
    return this.agent.vms;
  }

  get locks() {
    return this.agent.locks;
  }

  get capacity() {
    return this.agent.capacity;
  }

  get ownership() {
    return this.agent.ownership;
  }

  get origins() {
    return this.agent.origins;
  }

  /** What the journal has about who owns a VM. */
  async findOwner(uid: string): Promise<OwnershipRecord | undefined> {
    return (await Ownership.load(new OwnershipStore(this.#journal.database))).find(uid);
  }

  /** Keeps the inventory fresh until disposed. */
  run(): void {
    this.agent.tasks.run('inventory', (signal) => this.inventory.run(signal));
  }

  async create(
    request: WantedVm,
    options: Partial<CreateOptions> & { readonly signal?: AbortSignal } = {},
  ) {
    const { dryRun = false, reservationId, ownershipEpoch, signal = never } = options;
    const wish = { dryRun, reservationId, ownershipEpoch };
    const made = await this.vms.create(request, wish, signal);
    return made.vm;
  }

  /** All that the journal holds, as text. */
  journalText(): string {
    return this.#journal.text();
  }

  /** Nothing of a VM is left, but perhaps that it was deleted. */
  async assertNothingOf(request: WantedVm): Promise<void> {
    const { namespace, name } = request.metadata;
    assert.equal(await this.hypervisor.domains.find(uidOf(request), never), undefined);
    this.assertFree(uidOf(request), `${namespace}/${name}`);
    assert.notEqual((await this.findOwner(uidOf(request)))?.isDeleted, false);
    assert.ok(!(await this.privateFiles.listVms(never)).includes(uidOf(request)));
    assert.ok(!(await this.hypervisor.domains.listFiles(never)).includes(uidOf(request)));
  }

  assertFree(...keys: readonly string[]): void {
    for (const key of keys) assert.equal(this.locks.purposeOf(key), undefined);
    const on = this.inventory.list(EVERYTHING).filter(({ phase }) => phase !== 'stopped');
    const bytes = on.reduce(
      (sum, { definition }) => sum + nodeMemoryBytesOf(definition.spec.template.spec),
      0,
    );
    assert.equal(this.capacity.allocated()['memory'] ?? 0, bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent.tasks[Symbol.asyncDispose]();
    this.#journal[Symbol.dispose]();
  }
}

function newJournal(): NodeJournal {
  return new MemoryJournal();
}

/** A console that says where it is. */
function newConsole(): ConsoleReader {
  return {
    async *read(path) {
      yield Buffer.from(path);
    },
  };
}

export function newRequest(
  name = 'web',
  options: {
    readonly runStrategy?: RunStrategy;
    readonly memory?: string;
    readonly userData?: string;
    /** What stands in the spec beside that. */
    readonly machine?: Partial<Machine>;
  } = {},
): WantedVm {
  const { runStrategy = 'Once', memory = '64Mi', userData, machine } = options;
  const { namespace, uid, spec } = tinyVm(
    {},
    {
      resources: { cpu: '1', memory },
      kernel: { path: KERNEL_PATH },
      ...(userData === undefined ? {} : { userData }),
      ...machine,
    },
  );
  return { metadata: { namespace, name, uid }, spec: { ...spec, runStrategy } };
}

export function refOf({ metadata: { namespace, name } }: WantedVm): VmRef {
  return { namespace, name, uid: undefined };
}

export function uidOf({ metadata }: WantedVm): string {
  assert.ok(metadata.uid);
  return metadata.uid;
}
