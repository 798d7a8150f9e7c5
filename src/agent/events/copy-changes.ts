import type { Happening, SeenChange } from './seen-change.ts';

/** That this node has come to own a VM that is here, or has ceased to. */
export function copyChanges({ before, now, seen }: SeenChange): readonly Happening[] {
  if (before.copy === now.copy) return [];
  if (now.copy === 'own') {
    return [{ reason: 'OwnershipTaken', message: 'This node owns it from now on' }];
  }
  // A migration that ends tells so itself, and what it leaves here is soon gone.
  if (seen.vm.migration !== undefined) return [];
  const condition = seen.vm.conditions.find(({ type }) => type === 'StrayCopy');
  const message = condition?.message ?? seen.vm.message;
  return [
    { reason: 'HandedOver', message, cause: now.copy === 'stale' ? 'StaleCopy' : 'StrayCopy' },
  ];
}
