/**
 * A live migration, as its source sees it.
 *
 * preparing -> copying -> switching-over -> cleaning-up -> completed
 *     |           |             |
 *     |           |             +--------> failed             (the VM never ran at the destination)
 *     +-----------+----------------------> failed | cancelled
 */
const TRANSITIONS = {
  preparing: ['copying', 'failed', 'cancelled'],
  // The job may end between two looks at it, so copying can be seen to lead straight to its end.
  copying: ['switching-over', 'cleaning-up', 'failed', 'cancelled'],
  // The destination may already run the guest, so from here on a migration finishes or fails; a cancel that
  // libvirt had accepted before is the one exception and shows only now.
  'switching-over': ['cleaning-up', 'failed', 'cancelled'],
  'cleaning-up': ['completed'],
  completed: [],
  failed: [],
  cancelled: [],
} as const;

export type MigrationPhase = keyof typeof TRANSITIONS;

export function canMove(from: MigrationPhase, to: MigrationPhase): boolean {
  return (TRANSITIONS[from] as readonly MigrationPhase[]).includes(to);
}

export function isFinal(phase: MigrationPhase): boolean {
  return TRANSITIONS[phase].length === 0;
}

/** Whether a migration can still be called off by whoever asked for it. */
export function isCancellable(phase: MigrationPhase): boolean {
  return phase === 'preparing' || phase === 'copying';
}

export function isMigrationPhase(value: string): value is MigrationPhase {
  return Object.hasOwn(TRANSITIONS, value);
}
