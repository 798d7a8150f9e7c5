import type { AgentError } from '../../core/errors.ts';
import type { LabelSelector } from '../../core/label-selector.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { ChangeEffect, DriftedPart, HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { Accelerator } from '../../drivers/hypervisor-host.ts';
import type { DiskUse, VmStatistics } from '../../drivers/hypervisor-statistics.ts';
import type {
  Condition,
  Page,
  PageRequest,
  ReportOrigin,
  WatchCursor,
  WatchEvent,
} from '../reports/report.ts';
import type { RestartReport } from '../runs/restart-report.ts';
import type { RunRecord } from '../runs/run-record.ts';
import type { DiskDifference } from './disk-difference.ts';
import type { GivenSecrets } from './given-secrets.ts';

/** Where a VM stands in its life; `unknown` means that the hypervisor cannot say, never that it is off. */
export type VmPhase =
  | 'pending'
  | 'running'
  | 'paused'
  | 'stopping'
  | 'stopped'
  | 'migrating'
  | 'failed'
  | 'unknown';

/** A VM of this node: what it should be and what it is. */
export interface Vm {
  /**
   * False for one that could not be read since the agent started. Of its definition only namespace, name, uid and ownership
   * epoch are true then, by what is recorded of it: nothing may be concluded from the rest.
   */
  readonly isRead: boolean;
  readonly definition: VmDefinition;
  /** What it was started with; undefined where that is the same. */
  readonly liveDefinition: VmDefinition | undefined;
  readonly phase: VmPhase;
  /** Why, in one CamelCase word; may be empty. */
  readonly reason: string;
  /** Why, in a sentence; may be empty. */
  readonly message: string;
  readonly conditions: readonly Condition[];
  /** What of the spec waits for the next start. */
  readonly pendingChanges: readonly PendingChange[];
  /** What of its definition somebody else has changed. */
  readonly drift: readonly DriftedPart[];
  /** What of one that was adopted no manifest can say, and stays as it is. */
  readonly kept?: readonly string[] | undefined;
  /** Size of the huge pages that its memory is made of; left out if it is not. */
  readonly hugepages?: HypervisorVm['hugepages'];
  /** What it has been given of what can be changed while it runs; left out while it is off. */
  readonly sizes?: HypervisorVm['sizes'];
  /** What it has of this host and cannot move with it, for people. */
  readonly boundDevices?: readonly string[] | undefined;
  /** How its disks differ from what it was started with, by somebody else's doing; undefined if they do not. */
  readonly diskDifference?: DiskDifference | undefined;
  readonly accelerator: Accelerator | undefined;
  readonly machineType: string;
  readonly volumes: readonly VmVolume[];
  readonly interfaces: readonly VmInterface[];
  readonly statistics: VmUsage | undefined;
  /** How large the disks are of one that is off; left out where nobody has looked. */
  readonly diskSizes?: readonly DiskUse[];
  /** Whether a guest agent listens in its guest; undefined if there is no channel for one, or that is not known. */
  readonly guestAgent?: HypervisorVm['guestAgent'];
  /** The migration it is part of; undefined if none. */
  readonly migration: MigrationSummary | undefined;
  /** How it has run; undefined if nothing is known. */
  readonly run: RunRecord | undefined;
  /** When its run began, on whichever node, in milliseconds since 1970; undefined if it is off or nobody knows. */
  readonly runningSinceMs?: number | undefined;
  /** How it fares with being started again by itself; undefined if it is well. */
  readonly restart: RestartReport | undefined;
  readonly origin: ReportOrigin;
}

/** A field of the spec that has another value now than after the next start. */
export interface PendingChange {
  /** As the manifest writes it. */
  readonly field: string;
  /** In force now; undefined where it is not set. */
  readonly live: unknown;
  /** In force once it waits no more. */
  readonly wanted: unknown;
  /** What it waits for: the next start; else, while the VM runs, its guest, or the agent, which is about to try it or has failed. */
  readonly waitsFor: 'restart' | 'guest' | 'agent';
  /** Since when it was asked for, in milliseconds since 1970; undefined before it was, and for what waits for the next start. */
  readonly sinceMs: number | undefined;
  /** Why the last attempt has failed; undefined if it has not. */
  readonly problem: AgentError | undefined;
  /** What the guest has not done, for people. */
  readonly lack?: string | undefined;
  /** How many CPUs its guest says that it uses, where these are fewer than it has been given. */
  readonly cpusOnline?: number | undefined;
}

/** A volume as the hypervisor has it. */
interface VmInterface {
  /** Of the network that it was made for; for another maker's the name of what it is connected to, which may be empty. */
  readonly name: string;
  readonly mac: string;
  /** On this node; undefined for one that is not on a bridge. */
  readonly bridge: string | undefined;
  readonly model: string;
  /** The host's end of it; undefined while the VM is off. */
  readonly hostDevice: string | undefined;
  /** Whether its guest sees a link. Left out where nobody has said. */
  readonly link?: 'up' | 'down';
}

interface VmVolume {
  /** Of the spec's volume; a volume that is not ours has its target's name. */
  readonly name: string;
  readonly target: string;
  /** Undefined for a drive without a medium. */
  readonly path: string | undefined;
  readonly format: string;
  /** Its guest, or somebody, has opened the drive. */
  readonly isOpen?: boolean;
}

export interface MigrationSummary {
  readonly id: string;
  readonly targetNode: string;
  readonly startedAtMs: number;
  /** 0 to 1. */
  readonly fractionDone: number;
  /** What it waits for; empty while it goes on. */
  readonly waitsFor: string;
  /** It waits for its turn, and nothing of it has begun. */
  readonly isQueued: boolean;
}

export interface VmUsage extends VmStatistics {
  /** CPU use over the last sampling interval, in cores; 0 until there are two samples. */
  readonly cpuUsageCores: number;
}

export interface VmRef {
  readonly namespace: string;
  readonly name: string;
  /** The VM must have this uid; undefined accepts any. */
  readonly uid: string | undefined;
}

export interface CreateOptions {
  readonly dryRun: boolean;
  /** A reservation that the VM uses up; undefined for none. */
  readonly reservationId: string | undefined;
  /** Assigned by a control plane, which vouches for no other node running the VM; undefined leaves it to the node. */
  readonly ownershipEpoch?: number | undefined;
  /** Secrets that the manifest names, in the place of those of the node. */
  readonly secrets?: GivenSecrets | undefined;
  /** How long a guest is waited for that has to do its part; 60 s if left out. */
  readonly guestTimeoutMs?: number | undefined;
  /** False if it was, or will be, asked elsewhere whether another node has the VM. Default true. */
  readonly asksNodes?: boolean;
}

export interface DeleteOptions {
  /** Its power is cut first if it runs. */
  readonly force: boolean;
  /** Only a copy that this node does not own, and nothing else. */
  readonly unownedCopy?: boolean | undefined;
  /** What becomes of disks that an agent has made for it: unused ones are those that its guest has never written to. All are kept by default. */
  readonly disks?: 'keep' | 'remove-unused' | 'remove' | undefined;
}

/** What became of a VM that was to be deleted, or had become of it before. */
export type DeleteOutcome = 'deleted' | 'already-deleted' | 'never-here';

export type VmEvent = WatchEvent<Vm> & {
  /** With `deleted`: the node that the VM has gone to; undefined if it has gone to none. */
  readonly movedToNode?: string | undefined;
};

export interface ApplyOptions {
  readonly dryRun: boolean;
  /** The fields to be taken, named as in the manifest; undefined takes labels, annotations and spec whole. */
  readonly updateMask: readonly string[] | undefined;
  /** The generation that the VM must have, 0 for none yet; undefined accepts any. */
  readonly generation: number | undefined;
  /** Secrets that the manifest names, in the place of those of the node. */
  readonly secrets?: GivenSecrets | undefined;
  /** False if it was, or will be, asked elsewhere whether another node has the VM. Default true. */
  readonly asksNodes?: boolean;
}

/** A VM that was made, or would be. */
export interface CreateResult {
  readonly vm: Vm;
  /** What is accepted but is not as one may think, in sentences. */
  readonly warnings: readonly string[];
}

export interface ApplyResult extends CreateResult {
  readonly outcome: 'created' | 'changed' | 'unchanged';
  readonly changes: readonly FieldChange[];
}

/** One field of a spec that changed. */
export interface FieldChange {
  /** As the manifest writes it. */
  readonly field: string;
  /** Undefined where it is not set. */
  readonly before: unknown;
  readonly after: unknown;
  readonly effect: ChangeEffect;
}

/** Which VM that no agent has made is to be taken over, and what it shall be called. */
export interface AdoptRequest {
  /** The hypervisor's own name for it. */
  readonly domain: string;
  readonly vm: VmRef;
}

/** The VMs of this node. All calls may be repeated. Manifests come as they are, not yet checked. */
export interface VmService {
  create(manifest: unknown, options: CreateOptions, signal: AbortSignal): Promise<CreateResult>;
  apply(manifest: unknown, options: ApplyOptions, signal: AbortSignal): Promise<ApplyResult>;
  planAdoption(request: AdoptRequest, signal: AbortSignal): Promise<CreateResult>;
  get(ref: VmRef, signal: AbortSignal): Promise<Vm>;
  /** The VM with the sizes of its disks, also where it is off. */
  measure(vm: Vm, signal: AbortSignal): Promise<Vm>;
  list(filter: VmFilter, page: PageRequest, signal: AbortSignal): Promise<Page<Vm>>;
  watch(
    filter: VmFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncIterable<VmEvent>;
  start(ref: VmRef, signal: AbortSignal): Promise<Vm>;
  shutdown(ref: VmRef, signal: AbortSignal): Promise<Vm>;
  destroy(ref: VmRef, signal: AbortSignal): Promise<Vm>;
  delete(ref: VmRef, options: DeleteOptions, signal: AbortSignal): Promise<DeleteOutcome>;
  readConsole(ref: VmRef, options: ConsoleOptions, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface VmFilter {
  /** Empty means all. */
  readonly namespace: string;
  readonly labels: LabelSelector;
}

export interface ConsoleOptions {
  /** Only the last so many bytes; 0 means all that is kept. */
  readonly tailBytes: number;
  readonly follow: boolean;
}
