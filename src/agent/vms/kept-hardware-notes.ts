import type { Machine } from '../../core/resources/machine.ts';

/** What a VM keeps although its manifest names it no more: its guest has been installed on that. */
export function keptHardwareNotes(before: Machine, after: Machine): readonly string[] {
  const fields = [
    ['cpu.model', before.cpu?.model, after.cpu?.model],
    ['machineType', before.machineType, after.machineType],
  ] as const;
  return fields.flatMap(([field, had, has]) =>
    had === undefined || has !== undefined
      ? []
      : [
          `spec.template.spec.${field} is in the manifest no more, and the VM keeps ${had}, which its guest may rely on; name another to change it`,
        ],
  );
}
