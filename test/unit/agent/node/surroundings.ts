import { allocatableOf, capacityOf } from '../../../../src/agent/node/amounts.ts';
import { CapacityLedger } from '../../../../src/agent/node/capacity-ledger.ts';
import type { CertificateReport } from '../../../../src/agent/node/certificate-report.ts';
import { Cordon } from '../../../../src/agent/node/cordon.ts';
import type { Node } from '../../../../src/agent/node/node.ts';
import type { AcceleratorState } from '../../../../src/agent/node/node-accelerator.ts';
import { NodeManager, type NodeManagerOptions } from '../../../../src/agent/node/node-manager.ts';
import { NodeSpecStore } from '../../../../src/agent/node/node-spec-store.ts';
import { ReservationBook } from '../../../../src/agent/node/reservation-book.ts';
import { ReservationStore } from '../../../../src/agent/node/reservation-store.ts';
import type { StorageReport } from '../../../../src/agent/node/storage-health.ts';
import type { ControllerState } from '../../../../src/agent/reconcile/reconciler.ts';
import { ReportOriginSource } from '../../../../src/agent/reports/report-origin-source.ts';
import type { NodeShutdown } from '../../../../src/agent/shutdown/node-shutdown.ts';
import { ShutdownMark } from '../../../../src/agent/shutdown/shutdown-mark.ts';
import { ShutdownStore } from '../../../../src/agent/shutdown/shutdown-store.ts';
import type { ForeignVm } from '../../../../src/agent/vms/foreign-vms.ts';
import type { VmsObstacle } from '../../../../src/agent/vms/listed-vms.ts';
import type { UnreadVm } from '../../../../src/agent/vms/unread-vms.ts';
import type { Vm } from '../../../../src/agent/vms/vm.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import { TCG } from '../../../fakes/fake-boot-probe.ts';
import { fakeHost } from '../../../fakes/fake-host.ts';
import { FakeHypervisor } from '../../../fakes/fake-hypervisor.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { GIB } from './vms-of-a-node.ts';

const HOST = fakeHost({ memoryBytes: 16 * GIB });
const NOT_LISTED: VmsObstacle = { reason: 'VmsNotListed', message: 'Not listed yet' };
const WAIT_MS = 5_000;

/** A node of 16 GiB, one of them kept for the host, whose surroundings the test changes. */
export class Surroundings implements AsyncDisposable {
  readonly hypervisor = new FakeHypervisor('node-a');
  vms: readonly Vm[] | undefined = [];
  storage: StorageReport = { reason: 'Healthy', message: '' };
  certificate: CertificateReport | undefined;
  controllers: readonly ControllerState[] = [];
  shutdown: NodeShutdown | undefined;
  accelerator: AcceleratorState = TCG.state;
  nowMs = 1_000;
  readonly manager: NodeManager;
  readonly cordon: Cordon;
  readonly ledger: CapacityLedger;
  /** VMs that could not be read; those that have an owner are not `unidentified`. */
  unread: readonly UnreadVm[] = [];
  unidentified: readonly UnreadVm[] = [];
  foreign: readonly ForeignVm[] = [];
  readonly #inventory: NodeManagerOptions['inventory'] = {
    unread: { list: () => this.unread, listUnidentified: () => this.unidentified },
    listForeign: () => this.foreign,
    findObstacle: () => (this.vms === undefined ? NOT_LISTED : undefined),
    acceptUnidentified: async () => this.unidentified,
  };
  readonly nodeShutdown: ShutdownMark;
  readonly #database: MemoryJournal;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  private constructor(
    database: MemoryJournal,
    cordon: Cordon,
    reservations: ReservationBook,
    nodeShutdown: ShutdownMark,
  ) {
    this.nodeShutdown = nodeShutdown;
    this.#database = database;
    this.cordon = cordon;
    this.ledger = new CapacityLedger({
      capacity: capacityOf(HOST, 0),
      allocatable: allocatableOf(HOST, GIB, 0),
      reservations,
      listVms: () => this.vms ?? [],
      listUnread: () => [],
      listForeign: () => this.foreign,
    });
    const accelerator = (): AcceleratorState => this.accelerator;
    this.manager = new NodeManager({
      identity: {
        name: 'node-a',
        agentVersion: '1.2.3',
        peerProtocolMin: 1,
        peerProtocolMax: 1,
        advertiseAddress: '10.0.0.1:7443',
      },
      capacity: this.ledger,
      reservations,
      cordon,
      nodeShutdown,
      shutdown: () => this.shutdown,
      accelerator: {
        get state() {
          return accelerator();
        },
      },
      host: HOST,
      hypervisor: this.hypervisor,
      origins: new ReportOriginSource({ nodeName: 'node-a', nodeBootId: 'boot', agentEpoch: 1 }),
      listVms: () => this.vms,
      inventory: this.#inventory,
      storageHealth: () => this.storage,
      certificate: () => this.certificate,
      controllers: () => this.controllers,
      log: createLogger('silent'),
      now: () => this.nowMs,
    });
    this.#running = this.manager.run(this.#stop.signal).catch(() => {});
  }

  static async open(): Promise<Surroundings> {
    const journal = new MemoryJournal();
    const reservations = new ReservationStore(journal.database);
    return new Surroundings(
      journal,
      await Cordon.load(new NodeSpecStore(journal.database)),
      await ReservationBook.load(reservations, createLogger('silent')),
      await ShutdownMark.load({ store: new ShutdownStore(journal.database), bootId: HOST.bootId }),
    );
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  get(): Promise<Node> {
    return this.manager.get(this.signal);
  }

  /** The first node seen for which the condition holds. */
  async until(holds: (node: Node) => boolean): Promise<Node> {
    for await (const event of this.manager.watch(undefined, AbortSignal.timeout(WAIT_MS))) {
      if ('object' in event && holds(event.object)) return event.object;
    }
    throw new Error('The watch has ended');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('stopping'));
    await this.#running;
    this.#database[Symbol.dispose]();
  }
}
