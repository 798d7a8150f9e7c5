import type { AgentError } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HookName } from '../../drivers/hook-runner.ts';
import type { HookFailure } from '../hooks/hook-failure.ts';
import type { HookRuns } from '../hooks/hook-runs.ts';
import { hookOf } from '../hooks/vm-hooks.ts';
import type { OperationRecord } from '../operations/operation.ts';
import type { StepResult } from '../operations/operation-work.ts';

export interface HookStepsOptions {
  readonly runs: Pick<HookRuns, 'advance' | 'hasBegun'>;
  /** Of a VM of this node, as last listed. Must cost nothing. */
  readonly definitionOf: (vmUid: string) => VmDefinition | undefined;
  /** Takes note of what keeps a VM from being started. */
  readonly noteStartFailure: (vmUid: string, error: AgentError) => void;
}

/** Where the hook of an operation stands. */
export type HookStep =
  | { readonly kind: 'waiting'; readonly result: StepResult }
  /** Or there is none. */
  | { readonly kind: 'over'; readonly failure: HookFailure | undefined };

const OVER: HookStep = { kind: 'over', failure: undefined };

const STEP_NAMES: Readonly<Record<HookName, string>> = {
  preStart: 'running-pre-start',
  postStart: 'running-post-start',
  preStop: 'running-pre-stop',
};

/** The end of a hook is told at once; this is to say how long it has been. */
const LOOK_AGAIN_MS = 5_000;

/** Hooks as steps of operations. */
export class HookSteps {
  readonly #options: HookStepsOptions;

  constructor(options: HookStepsOptions) {
    this.#options = options;
  }

  definitionOf(vmUid: string): VmDefinition | undefined {
    return this.#options.definitionOf(vmUid);
  }

  noteStartFailure(vmUid: string, error: AgentError): void {
    this.#options.noteStartFailure(vmUid, error);
  }

  hasBegun({ id }: OperationRecord, name: HookName): boolean {
    return this.#options.runs.hasBegun(id, name);
  }

  /**
   * Has a hook run unless it has, once for each operation of one agent. The end of `again` tells the steps of operations that
   * start a VM once more.
   */
  take({ id, vm }: OperationRecord, name: HookName, again = ''): HookStep {
    const { runs, definitionOf } = this.#options;
    const definition = definitionOf(vm.uid);
    const request = definition && hookOf(definition, name);
    if (request === undefined) return OVER;
    const state = runs.advance(id, request);
    if (state.kind === 'ended') return { kind: 'over', failure: state.failure };
    const isRunning = state.kind === 'running';
    const message = isRunning
      ? (request.command[0] ?? '')
      : 'another hook of the VM is being ended first';
    const { waitedMs, leftMs } = isRunning ? state : { waitedMs: undefined, leftMs: undefined };
    const progress = { fractionDone: undefined, message, waitedMs, leftMs };
    const step = stepOf(name, again);
    return {
      kind: 'waiting',
      result: { isDone: false, step, progress, again: { afterMs: LOOK_AGAIN_MS } },
    };
  }
}

/** The step of an operation in which a hook runs. */
export function stepOf(name: HookName, again = ''): string {
  return `${STEP_NAMES[name]}${again}`;
}
