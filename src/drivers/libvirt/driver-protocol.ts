import { siblingModule } from '../../core/sibling-module.ts';
import type { HypervisorEvent } from '../hypervisor-events.ts';
import type { OperationFailure } from './errors.ts';
import type { OperationName } from './operations.ts';

/*
 * agent ⇄ driver process (IPC) and driver process ⇄ Workers (messages). Both ends are of the same version: the
 * agent starts its own driver process.
 */

/** Given to the driver process as its only argument, as JSON. */
export interface DriverSettings {
  readonly uri: string;
  readonly callWorkers: number;
  /** Where libvirt keeps files about the domains that run, as seen from here; undefined leaves them alone. */
  readonly stateDirectory: string | undefined;
}

export interface CallRequest {
  readonly id: number;
  readonly operation: OperationName;
  readonly values: readonly unknown[];
  /** The VM it is about; the calls of one VM may occupy a few Workers only. */
  readonly uid: string | undefined;
  /** `long` and `fresh` get a Worker and connection of their own, which end with the call. */
  readonly lane: 'pool' | 'fresh' | 'long';
}

export type ToDriver =
  | ({ readonly kind: 'call' } & CallRequest)
  /** Nobody waits for this call any more. */
  | { readonly kind: 'forget'; readonly id: number }
  | { readonly kind: 'diagnose'; readonly id: number };

export type CallOutcome =
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: OperationFailure };

type ConnectionReport =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'connected' }
  | { readonly kind: 'unreachable'; readonly message: string }
  /** libvirtd has ended while it was starting these domains, and will find them off when it is there again. */
  | { readonly kind: 'starts-forgotten'; readonly domains: readonly string[] };

/** What libvirt tells by itself. `changed` is about a domain's XML and has no event in the contract. */
export type DomainReport =
  | { readonly kind: 'event'; readonly event: HypervisorEvent }
  | { readonly kind: 'changed'; readonly uid: string };

export type FromDriver =
  | CallOutcome
  | ConnectionReport
  | DomainReport
  /** So many Workers are stuck in calls that nobody waits for that the process should be replaced. */
  | { readonly kind: 'exhausted'; readonly stuckWorkers: number };

export interface WorkerDiagnostics {
  readonly openConnections: number;
  readonly openDomains: number;
}

export interface DriverDiagnostics extends WorkerDiagnostics {
  readonly pid: number;
  readonly workers: number;
  readonly stuckWorkers: number;
  readonly openFiles: number;
  readonly rssBytes: number;
}

export type ToCallWorker =
  | ({ readonly kind: 'call' } & CallRequest)
  | { readonly kind: 'diagnose'; readonly id: number }
  | { readonly kind: 'close' };

/** Sent by the event Worker once the event loop is there, before which no connection may be opened. */
export type FromEventWorker = { readonly kind: 'ready' } | ConnectionReport | DomainReport;

export interface CallWorkerSettings {
  readonly uri: string;
  readonly lane: CallRequest['lane'];
}

export type EventWorkerSettings = Pick<DriverSettings, 'uri' | 'stateDirectory'>;

/** The file of a part that runs in a thread or process of its own: source or built, like its starter. */
export function partUrl(name: 'driver-process' | 'call-worker' | 'event-worker'): URL {
  return siblingModule(import.meta.url, name);
}
