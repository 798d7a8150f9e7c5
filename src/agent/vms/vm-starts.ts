import { AgentError } from '../../core/errors.ts';
import type { HookFailure } from '../hooks/hook-failure.ts';
import { hasStartHooks } from '../hooks/vm-hooks.ts';
import type { OperationRecord } from '../operations/operation.ts';
import type { StepResult } from '../operations/operation-work.ts';
import { wantedAct } from '../runs/run-strategies.ts';
import { type HookSteps, stepOf } from './hook-steps.ts';
import type { Vm } from './vm.ts';
import type { VmManager } from './vm-manager.ts';
import { isOff } from './vm-phase.ts';

export interface VmStartsOptions {
  readonly vms: Pick<VmManager, 'get' | 'start' | 'assertCan'>;
  readonly hooks: HookSteps;
}

export interface StartOptions {
  /** See `VmPower.start`. */
  readonly isByItself?: boolean;
  /** Does nothing if the last that was asked for is that it be off. */
  readonly onlyIfWanted?: boolean;
  /** What the names of its steps end with; see `HookSteps`. */
  readonly again?: string;
}

/** How far a start has come. */
export type StartStep =
  | { readonly kind: 'waiting'; readonly result: StepResult }
  | { readonly kind: 'done'; readonly vm: Vm; readonly warnings: readonly string[] };

/** Starts VMs for operations, with what the node runs before and after it, a step at a time. */
export class VmStarts {
  readonly #options: VmStartsOptions;

  constructor(options: VmStartsOptions) {
    this.#options = options;
  }

  /** Fails as `VmPower.start` does, and with HOOK_FAILED or HOOK_NOT_ALLOWED where what is to run before it does not. */
  async step(
    operation: OperationRecord,
    signal: AbortSignal,
    { isByItself = false, onlyIfWanted = false, again = '' }: StartOptions = {},
  ): Promise<StartStep> {
    const { vms, hooks } = this.#options;
    const { vm: ref, step } = operation;
    const definition = hooks.definitionOf(ref.uid) ?? (await vms.get(ref, signal)).definition;
    if (!hasStartHooks(definition)) {
      return done(await vms.start(ref, signal, { isByItself }));
    }
    const before = await vms.get(ref, signal);
    if (step === stepOf('postStart', again)) return this.#postStart(operation, before, again);
    if (onlyIfWanted && before.definition.intent !== 'on') return done(before);
    const isWanted = !isByItself || wantedAct(before) === 'start';
    if (isOff(before) && isWanted) {
      const waiting = await this.#preStart(operation, again, signal);
      if (waiting !== undefined) return waiting;
    }
    const vm = await vms.start(ref, signal, { isByItself });
    const isStarted = isOff(before) || hasBegunFor(operation, vm);
    return isStarted && !isOff(vm) ? this.#postStart(operation, vm, again) : done(vm);
  }

  /** Undefined once the VM may be started. */
  async #preStart(
    operation: OperationRecord,
    again: string,
    signal: AbortSignal,
  ): Promise<StartStep | undefined> {
    const { vms, hooks } = this.#options;
    // What cannot be started anyway is found out before anything is run for it.
    if (!hooks.hasBegun(operation, 'preStart')) await vms.assertCan('start', operation.vm, signal);
    const taken = hooks.take(operation, 'preStart', again);
    if (taken.kind === 'waiting') return taken;
    if (taken.failure === undefined) return undefined;
    const error = notStarted(operation, taken.failure);
    hooks.noteStartFailure(operation.vm.uid, error);
    throw error;
  }

  #postStart(operation: OperationRecord, vm: Vm, again: string): StartStep {
    const taken = this.#options.hooks.take(operation, 'postStart', again);
    if (taken.kind === 'waiting') return taken;
    if (taken.failure === undefined) return done(vm);
    const { text, said } = taken.failure;
    return { ...done(vm), warnings: [`${text}, and the VM runs all the same; ${said}`] };
  }
}

function done(vm: Vm): Extract<StartStep, { kind: 'done' }> {
  return { kind: 'done', vm, warnings: [] };
}

/** Whether a VM that is on was started for an operation, be it by an agent that was killed before it could say so. */
function hasBegunFor({ requestedAtMs, startedAtMs }: OperationRecord, { run }: Vm): boolean {
  return startedAtMs !== undefined && (run?.sinceMs ?? 0) >= requestedAtMs;
}

function notStarted({ vm }: OperationRecord, { reason, text, said }: HookFailure): AgentError {
  const way =
    reason === 'HOOK_FAILED'
      ? `; mend that and start it again, or take the hook out of its manifest; ${said}`
      : '';
  return new AgentError(reason, `Cannot start VM ${vm.name}: ${text}${way}`, {
    metadata: { vmId: vm.uid },
  });
}
