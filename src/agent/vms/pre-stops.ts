import type { OperationRecord } from '../operations/operation.ts';
import type { StepResult } from '../operations/operation-work.ts';
import type { HookSteps } from './hook-steps.ts';
import { WAITING_FOR_GUEST } from './power-steps.ts';
import type { VmManager } from './vm-manager.ts';
import { isOff } from './vm-phase.ts';

export interface PreStopsOptions {
  readonly vms: Pick<VmManager, 'get'>;
  readonly hooks: HookSteps;
}

/** Runs what the node is to run before it asks guests to power off. */
export class PreStops {
  readonly #options: PreStopsOptions;

  constructor(options: PreStopsOptions) {
    this.#options = options;
  }

  /** Undefined once the guest may be asked, whatever came of it: a failure becomes a warning of the operation. */
  async step(operation: OperationRecord, signal: AbortSignal): Promise<StepResult | undefined> {
    const { vms, hooks } = this.#options;
    const { vm: ref, step, warnings } = operation;
    const definition = hooks.definitionOf(ref.uid) ?? (await vms.get(ref, signal)).definition;
    const hasHook = definition.spec.template.spec.lifecycle?.preStop !== undefined;
    // A guest that was asked is asked again by the next agent, which does not run it again for that.
    if (!hasHook || step === WAITING_FOR_GUEST) return undefined;
    if (!hooks.hasBegun(operation, 'preStop')) {
      const vm = await vms.get(ref, signal);
      // One that is paused has no guest that could be asked.
      if (isOff(vm) || vm.phase === 'paused' || vm.phase === 'unknown') return undefined;
    }
    const taken = hooks.take(operation, 'preStop');
    if (taken.kind === 'waiting') return taken.result;
    if (taken.failure === undefined) return undefined;
    const { text, said } = taken.failure;
    const warning = `${text}, and its guest was asked to power off all the same; ${said}`;
    if (warnings.includes(warning)) return undefined;
    return { isDone: false, step: 'asking-guest', warnings: [warning], again: { afterMs: 0 } };
  }
}
