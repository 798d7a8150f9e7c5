import type { JobStatistics } from './hypervisor-jobs.ts';

/** What happens to VMs and to the connection. */
export interface HypervisorEvents {
  /**
   * Lifecycle, job and connection events until aborted. Events may be lost while disconnected: they only say
   * that something is worth looking at; a listing decides. Collected from the call on; aborting ends the iteration.
   */
  watch(signal: AbortSignal): AsyncIterable<HypervisorEvent>;
}

export type HypervisorEvent =
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected'; readonly error: Error }
  | {
      readonly kind: 'lifecycle';
      readonly uid: string;
      readonly event: LifecycleEvent;
      /** The guest was stopped, started or let go on by a migration. */
      readonly byMigration: boolean;
      /** Of a shutdown: the host has told the hypervisor to end the guest, say by a signal, and not the guest itself. */
      readonly byHost: boolean;
    }
  /** The guest agent has come or gone. */
  | { readonly kind: 'guest-agent'; readonly uid: string }
  /** The watchdog of a guest that no longer answers it has fired. */
  | { readonly kind: 'watchdog'; readonly uid: string; readonly action: WatchdogAction }
  | { readonly kind: 'migration-iteration'; readonly uid: string; readonly iteration: number }
  | {
      readonly kind: 'job-completed';
      readonly uid: string;
      /** How the job went; on the source of a migration this is the only place that keeps it. */
      readonly statistics: JobStatistics;
    };

/** What a watchdog has done. */
export type WatchdogAction =
  | 'none'
  | 'pause'
  | 'reset'
  | 'poweroff'
  | 'shutdown'
  | 'debug'
  | 'inject-nmi'
  | 'unknown';

export type LifecycleEvent =
  | 'defined'
  | 'undefined'
  | 'started'
  | 'suspended'
  | 'resumed'
  | 'stopped'
  | 'shutdown'
  | 'pm-suspended'
  // The guest begins anew, and its VM has not gone off
  | 'rebooted'
  | 'crashed'
  | 'unknown';
