import type { VmDefinition, VmSpec } from '../../core/vm-spec.ts';
import type { Accelerator, VmStatistics } from '../../drivers/hypervisor.ts';
import type { Condition, ReportOrigin, WatchCursor, WatchEvent } from '../report-origin.ts';

/** Where a VM stands in its life; `unknown` means that the hypervisor cannot be asked, never that it is off. */
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
  readonly definition: VmDefinition;
  readonly phase: VmPhase;
  /** Why, in one CamelCase word; may be empty. */
  readonly reason: string;
  /** Why, in a sentence; may be empty. */
  readonly message: string;
  readonly conditions: readonly Condition[];
  readonly accelerator: Accelerator | undefined;
  readonly machineType: string;
  readonly statistics: VmUsage | undefined;
  /** The migration it is part of; undefined if none. */
  readonly migrationId: string | undefined;
  readonly origin: ReportOrigin;
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

/** What a caller gives to make a VM; `uid` undefined lets the agent make one. */
export interface VmRequest {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly spec: VmSpec;
}

/** The VMs of this node. All calls may be repeated. */
export interface VmService {
  create(
    request: VmRequest,
    options: { readonly dryRun: boolean },
    signal: AbortSignal,
  ): Promise<Vm>;
  get(ref: VmRef, signal: AbortSignal): Promise<Vm>;
  list(filter: VmFilter, signal: AbortSignal): Promise<VmList>;
  watch(
    filter: VmFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<Vm>>;
  start(ref: VmRef, signal: AbortSignal): Promise<Vm>;
  shutdown(ref: VmRef, signal: AbortSignal): Promise<Vm>;
  destroy(ref: VmRef, signal: AbortSignal): Promise<Vm>;
  delete(ref: VmRef, options: { readonly force: boolean }, signal: AbortSignal): Promise<void>;
  readConsole(ref: VmRef, options: ConsoleOptions, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface VmFilter {
  /** Empty means all. */
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface VmList {
  readonly vms: readonly Vm[];
  readonly origin: ReportOrigin;
}

export interface ConsoleOptions {
  /** Only the last so many bytes; 0 means all that is kept. */
  readonly tailBytes: number;
  readonly follow: boolean;
}
