import type { VmRunState, VmStateReason } from '../hypervisor-domains.ts';
import type { LifecycleEvent, WatchdogAction } from '../hypervisor-events.ts';
import { DOMAIN_PAUSED, PAUSED_MIGRATION, PAUSED_STARTING_UP } from './libvirt-constants.ts';

/** libvirt-domain.h: virDomainState with, for each, its reasons in order (virDomainRunningReason and so on). */
const STATES: readonly {
  readonly state: VmRunState;
  readonly reasons: readonly VmStateReason[];
}[] = [
  { state: 'unknown', reasons: ['unknown'] },
  {
    state: 'running',
    reasons: [
      'unknown',
      'booted',
      'migrated',
      'restored',
      'from-snapshot',
      'resumed',
      'migration-cancelled',
      'save-cancelled',
      'woken',
      'crashed',
      'postcopy',
      'postcopy-failed',
    ],
  },
  // Blocked on a resource: only Xen says so, and it counts as running.
  { state: 'running', reasons: ['unknown'] },
  {
    state: 'paused',
    reasons: [
      'unknown',
      'user',
      'migration',
      'saving',
      'dumping',
      'io-error',
      'watchdog',
      'from-snapshot',
      'shutting-down',
      'snapshotting',
      'crashed',
      'starting-up',
      'postcopy',
      'postcopy-failed',
      'api-error',
    ],
  },
  { state: 'shutting-down', reasons: ['unknown', 'user'] },
  {
    state: 'stopped',
    reasons: [
      'unknown',
      'shutdown',
      'destroyed',
      'crashed',
      'migrated',
      'saved',
      'failed',
      'from-snapshot',
      'daemon-restarted',
    ],
  },
  { state: 'crashed', reasons: ['unknown', 'crashed'] },
  { state: 'paused', reasons: ['guest-asleep'] },
];

export interface RunState {
  readonly state: VmRunState;
  readonly reason: VmStateReason;
}

/** What libvirt's numbers mean; those that are newer than this table are `unknown`. */
export function toRunState(state: number, reason: number): RunState {
  const row = STATES[state];
  if (row === undefined) return { state: 'unknown', reason: 'unknown' };
  return { state: row.state, reason: row.reasons[reason] ?? 'unknown' };
}

/**
 * Whether the domain may be the receiving end of a migration. Only its job tells: the source is paused for the
 * same reason at the switchover.
 */
export function mayBeIncoming(state: number, reason: number): boolean {
  return state === DOMAIN_PAUSED && (reason === PAUSED_MIGRATION || reason === PAUSED_STARTING_UP);
}

/** Whether the domain is being started, be it for a guest that is still elsewhere. */
export function isStartingUp({ state, reason }: { state: number; reason: number }): boolean {
  return state === DOMAIN_PAUSED && reason === PAUSED_STARTING_UP;
}

/** libvirt-domain.h: virDomainEventType with, for each, the details that say who was at work, if it has any. */
const EVENTS: readonly {
  readonly event: LifecycleEvent;
  readonly migrated?: number;
  readonly host?: number;
}[] = [
  { event: 'defined' },
  { event: 'undefined' },
  { event: 'started', migrated: 1 },
  { event: 'suspended', migrated: 1 },
  { event: 'resumed', migrated: 1 },
  { event: 'stopped', migrated: 3 },
  { event: 'shutdown', host: 2 },
  { event: 'pm-suspended' },
  { event: 'crashed' },
];

/** What libvirt tells of a domain's life. */
interface LifecycleReport {
  readonly event: LifecycleEvent;
  readonly byMigration: boolean;
  readonly byHost: boolean;
}

export function toLifecycleEvent(type: number, detail: number): LifecycleReport {
  const { event, migrated, host } = EVENTS[type] ?? { event: 'unknown' };
  return { event, byMigration: detail === migrated, byHost: detail === host };
}

/** libvirt-domain.h: virDomainEventWatchdogAction. */
const WATCHDOG_ACTIONS: readonly WatchdogAction[] = [
  'none',
  'pause',
  'reset',
  'poweroff',
  'shutdown',
  'debug',
  'inject-nmi',
];

export function toWatchdogAction(action: number): WatchdogAction {
  return WATCHDOG_ACTIONS[action] ?? 'unknown';
}
