import type { Reason } from '../../core/errors.ts';
import type { LabelSelector } from '../../core/label-selector.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { ImageSighting, MarkedPlace } from '../../drivers/disk-probe.ts';
import type { Accelerator } from '../../drivers/hypervisor-host.ts';
import type {
  Page,
  PageRequest,
  ReportOrigin,
  WatchCursor,
  WatchEvent,
} from '../reports/report.ts';
import type { VmRef } from '../vms/vm.ts';
import type { MigrationPhase } from './states.ts';

export type { ImageSighting, MarkedPlace };

/** What a migration should do. */
export interface MigrationSpec {
  readonly vm: VmRef;
  readonly destinationNode: string;
  /** HOST:PORT of the destination's agent; undefined takes it from the configuration. */
  readonly destinationAddress: string | undefined;
  readonly maxDowntimeMs: number | undefined;
  /** Bits a second; undefined takes the VM's migration policy, then the node's default. */
  readonly bandwidthBitsPerSecond: number | undefined;
  readonly timeoutMs: number | undefined;
  /**
   * Volumes that are the same on both nodes by the caller's word, where that cannot be found out. Not recorded by earlier
   * agents.
   */
  readonly trustedVolumes?: readonly string[] | undefined;
}

/** One attempt to move a VM. */
export interface Migration {
  readonly id: string;
  readonly spec: MigrationSpec;
  readonly labels: Readonly<Record<string, string>>;
  readonly role: 'source' | 'destination';
  readonly sourceNode: string;
  readonly destinationNode: string;
  readonly phase: MigrationPhase;
  /** Why it failed or was cancelled; undefined otherwise. */
  readonly reason: Reason | undefined;
  readonly message: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number | undefined;
  readonly progress: MigrationProgress;
  readonly result: MigrationResult | undefined;
  readonly phases: readonly { readonly phase: MigrationPhase; readonly startedAtMs: number }[];
  readonly transport: 'stream';
  readonly mode: 'precopy' | 'postcopy';
  readonly origin: ReportOrigin;
}

/** How far it is. A figure of which nothing is known, or nothing any more, is undefined, never 0. */
export interface MigrationProgress {
  readonly memoryTotalBytes: bigint | undefined;
  readonly memoryProcessedBytes: bigint | undefined;
  readonly memoryRemainingBytes: bigint | undefined;
  readonly memoryBytesPerSecond: bigint | undefined;
  readonly dirtyBytesPerSecond: bigint | undefined;
  readonly iteration: number | undefined;
  readonly wireBytes: bigint | undefined;
  readonly estimatedMsLeft: number | undefined;
  /** 0 to 1; never falls. */
  readonly fractionDone: number | undefined;
  readonly stalledMs: number | undefined;
  /** What goes over beside memory. */
  readonly channels: readonly ChannelProgress[];
}

interface ChannelProgress {
  readonly name: string;
  readonly totalBytes: bigint;
  readonly processedBytes: bigint;
  readonly remainingBytes: bigint;
}

/** What it came to. A figure that could not be found out is undefined, never 0. */
export interface MigrationResult {
  /** Without any time in which nobody looked. */
  readonly totalMs: number | undefined;
  readonly downtimeMs: number | undefined;
  readonly memoryProcessedBytes: bigint | undefined;
  readonly wireBytes: bigint | undefined;
  readonly iterations: number | undefined;
  readonly reconnects: number | undefined;
}

export interface MigrationBlocker {
  readonly reason: Reason;
  readonly message: string;
  readonly nodeName: string;
  /** Field of the spec or thing that it is about; may be empty. */
  readonly subject: string;
}

/** An image that a VM has open, and whether the other node would open the same one. */
export interface MigrationImage {
  /** The volume that it belongs to. */
  readonly volume: string;
  readonly path: string;
  readonly verdict: 'same' | 'trusted' | 'different' | 'unknown';
  /** What both nodes have, for people. */
  readonly message: string;
}

export interface MigrationPlan {
  readonly blockers: readonly MigrationBlocker[];
  readonly images: readonly MigrationImage[];
  readonly transport: 'stream';
  readonly memoryBytes: number;
}

/** Migrations as callers see them; all calls go to the node where the VM runs. */
export interface MigrationService {
  plan(spec: MigrationSpec, signal: AbortSignal): Promise<MigrationPlan>;
  start(request: StartRequest, signal: AbortSignal): Promise<Migration>;
  get(id: string, signal: AbortSignal): Promise<Migration>;
  list(filter: MigrationFilter, page: PageRequest, signal: AbortSignal): Promise<Page<Migration>>;
  /** The migrations as they are, then every change; progress in between may be left out for a slow watcher. */
  watch(
    filter: MigrationFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<Migration>>;
  cancel(id: string, signal: AbortSignal): Promise<Migration>;
  /** By the caller's word that the other node is off for good; repeating it is fine. */
  settle(request: SettleRequest, signal: AbortSignal): Promise<Migration>;
}

export interface SettleRequest {
  readonly id: string;
  /** The node that is off: the other one of the migration. */
  readonly offNode: string;
  /** The identity of the caller. */
  readonly saidBy: string;
}

export interface StartRequest {
  readonly id: string;
  readonly spec: MigrationSpec;
  readonly labels: Readonly<Record<string, string>>;
  /** Who asks: the identity of the caller. */
  readonly requestedBy: string;
}

export interface MigrationFilter {
  readonly activeOnly: boolean;
  /** Only this one; undefined means all. */
  readonly id: string | undefined;
  /** Only those of this VM; undefined means all. */
  readonly vmUid: string | undefined;
  readonly labels: LabelSelector;
}

/** The VM of a migration as the destination must know it. */
export interface IncomingVm {
  readonly definition: VmDefinition;
  readonly machineType: string;
  readonly accelerator: Accelerator | undefined;
  readonly memoryBytes: number;
  readonly vcpus: number;
  /** Its CPU, in words for the destination's hypervisor alone; empty if there are none. */
  readonly cpu: string;
  /** Bridges that its interfaces are on now, whoever has put them there; none where the source does not tell. */
  readonly bridges: readonly string[];
  /** What the source's hypervisor calls it: by its name, unless somebody has renamed it; empty where it does not tell. */
  readonly hypervisorName: string;
  /** Files of the agent that come with the VM, by name; the content is empty when it is only asked whether it may come. */
  readonly privateFiles: Readonly<Record<string, Uint8Array>>;
  readonly sourceHostUuid: string;
  readonly sourceQemuVersion: string;
  /** What the destination must understand, or refuse. */
  readonly requiredFeatures: readonly string[];
}

export interface IncomingBlocker {
  readonly reason: Reason;
  readonly message: string;
  readonly subject: string;
}

export type IncomingState = 'absent' | 'prepared' | 'receiving' | 'arrived' | 'unknown';

/** How an incoming migration ends; with what it came to, as far as its source knows. */
export type IncomingEnd =
  | { readonly outcome: 'commit'; readonly result: MigrationResult | undefined }
  /** Why, as its source reports it; not told by older agents. */
  | { readonly outcome: 'abort'; readonly reason?: Reason; readonly message?: string };

/** What agents ask of each other. `caller` is the node that the caller's certificate names. */
export interface IncomingService {
  handshake(request: HandshakeRequest, signal: AbortSignal): Promise<PeerHandshake>;
  check(
    incoming: IncomingVm,
    caller: string,
    signal: AbortSignal,
  ): Promise<readonly IncomingBlocker[]>;
  /** What this node has under the paths of images that the caller has marked, in their order. */
  compareImages(
    images: readonly MarkedPlace[],
    signal: AbortSignal,
  ): Promise<readonly ImageSighting[]>;
  prepare(
    request: {
      readonly migrationId: string;
      readonly incoming: IncomingVm;
      readonly transferToken: string;
    },
    caller: string,
    signal: AbortSignal,
  ): Promise<{ readonly host: string; readonly port: number }>;
  get(
    migrationId: string,
    vmUid: string,
    caller: string,
    signal: AbortSignal,
  ): Promise<IncomingReport>;
  /** How far the source has come. Of a migration that is not known here, or has ended, it is not minded. */
  reportProgress(migrationId: string, progress: MigrationProgress, caller: string): Promise<void>;
  release(
    migrationId: string,
    vmUid: string,
    end: IncomingEnd,
    caller: string,
    signal: AbortSignal,
  ): Promise<{ readonly wireBytes: number | undefined }>;
}

export interface HandshakeRequest {
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly agentVersion: string;
  readonly requiredFeatures: readonly string[];
}

export interface PeerHandshake {
  readonly protocol: number;
  readonly agentVersion: string;
  readonly nodeName: string;
  readonly hostUuid: string;
  /** What that agent understands. */
  readonly features: readonly string[];
}

export interface IncomingReport {
  readonly state: IncomingState;
  /** Of the VM here; of one that is absent, and whose migration is not known, the one that is. 0 if none is. */
  readonly ownershipEpoch: number;
  /** The VM runs here, but fetches memory from the source still. */
  readonly holdsSource: boolean;
  readonly figures: ArrivalFigures | undefined;
}

/** What the hypervisor knows of a migration that has moved a VM. What it does not know is undefined, never 0. */
export interface ArrivalFigures {
  readonly downtimeMs: number | undefined;
  readonly memoryProcessedBytes: bigint | undefined;
  readonly iterations: number | undefined;
  /** From when it began to copy until the VM ran at the destination. */
  readonly elapsedMs: number | undefined;
}
