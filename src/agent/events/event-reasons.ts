/** Whether an event asks for somebody's attention. */
export type EventType = 'normal' | 'warning';

/** What can happen to a VM, in one word for programs, and of which type it is: a closed set. Listed in docs/events.md. */
export const EVENT_REASONS = {
  Created: 'normal',
  Adopted: 'normal',
  Appeared: 'normal',
  Changed: 'normal',
  Deleted: 'normal',
  Vanished: 'warning',
  Started: 'normal',
  Stopped: 'normal',
  StoppedUnexpectedly: 'warning',
  BackOff: 'warning',
  Paused: 'normal',
  PausedUnexpectedly: 'warning',
  Resumed: 'normal',
  Rebooted: 'normal',
  Reset: 'normal',
  WatchdogFired: 'warning',
  MediumInserted: 'normal',
  MediumEjected: 'normal',
  MigrationBegan: 'normal',
  MigrationSucceeded: 'normal',
  MigrationCancelled: 'normal',
  MigrationFailed: 'warning',
  OwnershipTaken: 'normal',
  HandedOver: 'normal',
  Drifted: 'warning',
  DriftRepaired: 'normal',
  Degraded: 'warning',
  Recovered: 'normal',
  ConditionChanged: 'normal',
  Requested: 'normal',
  RequestFailed: 'warning',
  RequestCancelled: 'normal',
  RequestSuperseded: 'normal',
} as const satisfies Readonly<Record<string, EventType>>;

export type EventReason = keyof typeof EVENT_REASONS;
