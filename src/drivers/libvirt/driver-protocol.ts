import type { HypervisorEvent } from '../hypervisor-events.ts';
import type { OperationFailure } from './errors.ts';
import type { OperationName } from './operations.ts';

/*
 * agent ⇄ driver process (IPC). Both ends are of the same version: the agent starts its own driver process.
 */

export interface DriverSettings {
  readonly uri: string;
  readonly callWorkers: number;
  /** Where libvirt keeps files about the domains that run, as seen from here; undefined leaves them alone. */
  readonly stateDirectory: string | undefined;
}

/** `guest` is for what waits for a guest: whoever calls sees to it that these are few. */
export type Lane = 'pool' | 'fresh' | 'long' | 'guest';

export interface CallRequest {
  readonly id: number;
  readonly operation: OperationName;
  readonly values: readonly unknown[];
  /** The VM it is about; the calls of one VM may occupy a few threads only. */
  readonly uid: string | undefined;
  /** All but `pool` get a thread and connection of their own, which end with the call. */
  readonly lane: Lane;
}

export type ToDriver =
  /** The first message; nothing is said or done before it comes. */
  | { readonly kind: 'begin'; readonly settings: DriverSettings }
  | ({ readonly kind: 'call' } & CallRequest)
  /** Nobody waits for this call any more. */
  | { readonly kind: 'forget'; readonly id: number }
  | { readonly kind: 'diagnose'; readonly id: number };

/** A value that is a `PassedDescriptor` comes as a socket beside the message, with no value. */
export type CallOutcome =
  | { readonly kind: 'result'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: OperationFailure };

export type ConnectionReport =
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
  /** So many threads are stuck in calls that nobody waits for that the process should be replaced. */
  | { readonly kind: 'exhausted'; readonly stuckThreads: number };

export interface ThreadDiagnostics {
  readonly openConnections: number;
  readonly openDomains: number;
}

export interface DriverDiagnostics extends ThreadDiagnostics {
  readonly pid: number;
  readonly threads: number;
  readonly stuckThreads: number;
  readonly openFiles: number;
  readonly rssBytes: number;
}
