import { type Hook, hookTimeoutMs } from '../../core/resources/lifecycle.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HookName, HookRequest } from '../../drivers/hook-runner.ts';

/** A hook of a VM as it is to be run; undefined if the VM has none of that name. */
export function hookOf(definition: VmDefinition, name: HookName): HookRequest | undefined {
  const hook = definition.spec.template.spec.lifecycle?.[name];
  return hook && requestOf(definition, name, hook);
}

/** Whether there is more to the start of a VM than the start itself. */
export function hasStartHooks({ spec }: Pick<VmDefinition, 'spec'>): boolean {
  const { preStart, postStart } = spec.template.spec.lifecycle ?? {};
  return preStart !== undefined || postStart !== undefined;
}

function requestOf({ namespace, name, uid }: VmDefinition, hook: HookName, wanted: Hook) {
  const { command } = wanted.exec;
  return { hook, vm: { namespace, name, uid }, command, timeoutMs: hookTimeoutMs(wanted) };
}
