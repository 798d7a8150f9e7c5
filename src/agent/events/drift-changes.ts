import type { Happening, SeenChange } from './seen-change.ts';

/** That somebody has changed a VM's definition by other means than this agent, and that it is as it should be again. */
export function driftChanges({ before, now, seen }: SeenChange): readonly Happening[] {
  const parts = now.drift.filter((part) => !before.drift.includes(part));
  if (parts.length > 0) {
    const condition = seen.vm.conditions.find(({ type }) => type === 'Drifted');
    return [
      {
        reason: 'Drifted',
        message: condition?.message ?? `Somebody has changed its definition: ${parts.join(', ')}`,
        cause: condition?.reason ?? 'DefinitionChanged',
      },
    ];
  }
  if (now.drift.length > 0 || before.drift.length === 0) return [];
  const mended = before.drift.join(', ');
  // Only disks are left to whoever has changed them.
  const isLeft = before.drift.includes('volumes') || before.drift.includes('disks');
  const isPutBack = !isLeft && now.generation === before.generation;
  return [
    {
      reason: 'DriftRepaired',
      message: isPutBack
        ? `Its definition was put back to what its manifest says: ${mended}`
        : `Its definition is as its manifest says again: ${mended}`,
      cause: isPutBack ? 'PutBack' : 'TakenBack',
      ...(isPutBack && { requestedBy: 'agent/drift' }),
    },
  ];
}
