import type { LifecycleEvent, VmRunState } from '../hypervisor.ts';
import { DOMAIN_PAUSED, PAUSED_MIGRATION, PAUSED_STARTING_UP } from './libvirt-constants.ts';

/** libvirt-domain.h: virDomainState with, for each, its reasons in order (virDomainRunningReason and so on). */
const STATES: readonly { readonly state: VmRunState; readonly reasons: readonly string[] }[] = [
  { state: 'unknown', reasons: [''] },
  {
    state: 'running',
    reasons: [
      '',
      'booted',
      'migrated',
      'restored',
      'from-snapshot',
      'unpaused',
      'migration-canceled',
      'save-canceled',
      'wakeup',
      'crashed',
      'postcopy',
      'postcopy-failed',
    ],
  },
  { state: 'running', reasons: [''] },
  {
    state: 'paused',
    reasons: [
      '',
      'user',
      'migration',
      'save',
      'dump',
      'io-error',
      'watchdog',
      'from-snapshot',
      'shutting-down',
      'snapshot',
      'crashed',
      'starting-up',
      'postcopy',
      'postcopy-failed',
      'api-error',
    ],
  },
  { state: 'shutting-down', reasons: ['', 'user'] },
  {
    state: 'stopped',
    reasons: [
      '',
      'shutdown',
      'destroyed',
      'crashed',
      'migrated',
      'saved',
      'failed',
      'from-snapshot',
      'daemon',
    ],
  },
  { state: 'crashed', reasons: ['', 'panicked'] },
  { state: 'paused', reasons: ['pm-suspended'] },
];

export interface RunState {
  readonly state: VmRunState;
  /** Empty if libvirt has none; its number if it is newer than this table. */
  readonly reason: string;
}

export function toRunState(state: number, reason: number): RunState {
  const row = STATES[state];
  if (row === undefined) return { state: 'unknown', reason: `state-${state}` };
  return { state: row.state, reason: row.reasons[reason] ?? `reason-${reason}` };
}

/**
 * Whether the domain may be the receiving end of a migration. Only its job tells: the source is paused for the
 * same reason at the switchover.
 */
export function mayBeIncoming(state: number, reason: number): boolean {
  return state === DOMAIN_PAUSED && (reason === PAUSED_MIGRATION || reason === PAUSED_STARTING_UP);
}

/** libvirt-domain.h: virDomainEventType with, for each, its details in order. */
const EVENTS: readonly { readonly event: LifecycleEvent; readonly details: readonly string[] }[] = [
  { event: 'defined', details: ['added', 'updated', 'renamed', 'from-snapshot'] },
  { event: 'undefined', details: ['removed', 'renamed'] },
  {
    event: 'started',
    details: ['booted', 'migrated', 'restored', 'from-snapshot', 'wakeup', 'recovered'],
  },
  {
    event: 'suspended',
    details: [
      'paused',
      'migrated',
      'io-error',
      'watchdog',
      'restored',
      'from-snapshot',
      'api-error',
      'postcopy',
      'postcopy-failed',
      'guest-shutdown',
    ],
  },
  {
    event: 'resumed',
    details: ['unpaused', 'migrated', 'from-snapshot', 'postcopy', 'postcopy-failed'],
  },
  {
    event: 'stopped',
    details: [
      'shutdown',
      'destroyed',
      'crashed',
      'migrated',
      'saved',
      'failed',
      'from-snapshot',
      'recreated',
    ],
  },
  { event: 'shutdown', details: ['finished', 'guest', 'host'] },
  { event: 'pm-suspended', details: ['memory', 'disk'] },
  { event: 'crashed', details: ['panicked', 'crash-loaded'] },
];

export function toLifecycleEvent(
  type: number,
  detail: number,
): { readonly event: LifecycleEvent; readonly detail: string } {
  const row = EVENTS[type];
  if (row === undefined) return { event: 'unknown', detail: `event-${type}` };
  return { event: row.event, detail: row.details[detail] ?? `detail-${detail}` };
}
