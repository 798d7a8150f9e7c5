import type { Logger } from '../core/logger.ts';
import type { ConsoleReader } from '../drivers/console.ts';
import type { DiskFiles } from '../drivers/disk-files.ts';
import type { DiskProbe } from '../drivers/disk-probe.ts';
import type { HookRunner } from '../drivers/hook-runner.ts';
import type { HostFacts } from '../drivers/host.ts';
import type { HostBridges } from '../drivers/host-bridges.ts';
import type { Hypervisor } from '../drivers/hypervisor.ts';
import type { ImageFetcher } from '../drivers/image-fetcher.ts';
import type { ImageStore } from '../drivers/image-store.ts';
import type { ImageInspector } from '../drivers/images.ts';
import type { NodeSecrets } from '../drivers/node-secrets.ts';
import type { PrivateFiles } from '../drivers/private-files.ts';
import type { TransferDriver } from '../drivers/transfers.ts';
import type { EventStore } from './events/event-store.ts';
import type { SightStore } from './events/sight-store.ts';
import type { FreezeStore } from './guests/freeze-store.ts';
import type { MigrationStore } from './migration/migration-store.ts';
import type { OutgoingOptions } from './migration/outgoing-context.ts';
import type { Pace } from './migration/pace.ts';
import type { Peers } from './migration/peers.ts';
import type { CertificateReport } from './node/certificate-report.ts';
import type { NodeAccelerator } from './node/node-accelerator.ts';
import type { NodeSpecStore } from './node/node-spec-store.ts';
import type { ReservationStore } from './node/reservation-store.ts';
import type { StorageReport } from './node/storage-health.ts';
import type { OperationStore } from './operations/operation-store.ts';
import type { RunStore } from './runs/run-store.ts';
import type { ShutdownStore } from './shutdown/shutdown-store.ts';
import type { IdentificationStore } from './vms/identification-store.ts';
import type { OwnershipStore } from './vms/ownership-store.ts';

/** What an agent is made of: the drivers that reach out, the stores that remember, and what it is to know. */
export interface AgentParts {
  readonly nodeName: string;
  readonly agentVersion: string;
  readonly agentEpoch: number;
  /** HOST:PORT where other nodes reach this one, its transfers at the same host; undefined where the node is alone. */
  readonly advertiseAddress: string | undefined;
  readonly host: HostFacts;
  /** Memory of the host that VMs may not have. */
  readonly reservedMemoryBytes: number;
  /** How many CPUs are for VMs that share none. */
  readonly dedicatedCpus: number;
  /** The least memory that a VM may have, as a quantity. */
  readonly minMemory: string;
  /** What VMs run on here. */
  readonly accelerator: NodeAccelerator;
  /** The hypervisor takes leases of disks, which other nodes heed. */
  readonly hasDiskLeases: boolean;
  readonly migrationDefaults: OutgoingOptions['defaults'];
  readonly hypervisor: Hypervisor;
  readonly transfers: TransferDriver;
  readonly images: ImageInspector;
  readonly diskFiles: DiskFiles;
  /** Where disks are made that VMs ask for by their size. */
  readonly diskFolder: string;
  readonly imageStore: ImageStore;
  readonly imageFetcher: ImageFetcher;
  readonly imageLimits: { readonly maxImageBytes: number; readonly cacheBytes: number };
  readonly bridges: HostBridges;
  readonly diskProbe: DiskProbe;
  readonly hooks: HookRunner;
  readonly privateFiles: PrivateFiles;
  readonly nodeSecrets: NodeSecrets;
  readonly console: ConsoleReader;
  readonly peers: Peers;
  readonly stores: {
    readonly migrations: MigrationStore;
    readonly ownership: OwnershipStore;
    readonly identification: IdentificationStore;
    readonly operations: OperationStore;
    readonly nodeSpec: NodeSpecStore;
    readonly reservations: ReservationStore;
    readonly runs: RunStore;
    readonly shutdown: ShutdownStore;
    readonly freezes: FreezeStore;
    readonly events: EventStore;
    readonly sights: SightStore;
  };
  readonly storageHealth: () => StorageReport;
  /** How others take the node's certificate; undefined where it has none, being alone. */
  readonly certificate?: (() => CertificateReport | undefined) | undefined;
  readonly pace?: Pace;
  readonly resyncIntervalMs?: number;
  readonly firstRestartDelayMs?: number;
  /** See `IoErrorController`. */
  readonly firstResumeDelayMs?: number | undefined;
  /** How often the files of VMs that are off are looked for. */
  readonly lookIntervalMs?: number | undefined;
  /** How many VMs are started at once by their run strategies. */
  readonly startsAtOnce: number;
  readonly unreadPatienceMs?: number;
  /** See `EventBookOptions`. */
  readonly gatherMs?: number | undefined;
  /** The clock of the host's boot; see `ShutdownMark`. */
  readonly bootClock?: () => number;
  /** See `ConsoleManager`. */
  readonly consoleSettleMs?: number | undefined;
  readonly log: Logger;
}
