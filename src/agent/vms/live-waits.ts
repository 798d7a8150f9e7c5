import { AgentError } from '../../core/errors.ts';
import { changeKeyOf } from '../../core/live-spec.ts';
import type { OperationRecord, OperationVm } from '../operations/operation.ts';
import type { StepResult } from '../operations/operation-work.ts';
import { isLive } from './pending-changes.ts';
import type { ApplyResult, PendingChange, Vm } from './vm.ts';
import type { VmManager } from './vm-manager.ts';

/** The step in which the guest is waited for, and the agent until it has asked it. */
export const CHANGING_LIVE = 'changing-live';

/** How long a guest is waited for, unless the caller says. */
const GUEST_TIMEOUT_MS = 60_000;
const LOOK_AGAIN_MS = 100;
const LOOK_AT_LEAST_MS = 1_000;

interface Waiting {
  readonly end: StepResult & { readonly isDone: true };
  /** Of its own changes; undefined where an agent before this one has made them, and nobody knows. */
  readonly keys?: readonly string[];
}

/** Operations that have changed VMs which run, and wait until the guests have done their part. */
export class LiveWaits {
  readonly #vms: Pick<VmManager, 'get'>;
  readonly #waiting = new Map<string, Waiting>();

  constructor(vms: Pick<VmManager, 'get'>) {
    this.#vms = vms;
  }

  has(operationId: string): boolean {
    return this.#waiting.has(operationId);
  }

  end(operationId: string): void {
    this.#waiting.delete(operationId);
  }

  /** The end of an operation that has changed a VM, or what it waits for before that. */
  async begin(
    operation: OperationRecord,
    { outcome, vm, changes }: ApplyResult,
    end: StepResult & { readonly isDone: true },
    signal: AbortSignal,
  ): Promise<StepResult> {
    if (outcome !== 'changed' || vm.pendingChanges.length === 0) return end;
    this.#waiting.set(operation.id, { end, keys: changes.map(changeKeyOf) });
    const { warnings = [] } = end;
    const waiting = await this.step(operation, 0, signal);
    return waiting.isDone || warnings.length === 0 ? waiting : { ...waiting, warnings };
  }

  /** One that an agent has begun which was killed tells what it was changed to, and nothing else. */
  async step(
    { id, vm: ref, parameters }: OperationRecord,
    waitedMs: number,
    signal: AbortSignal,
  ): Promise<StepResult> {
    const vm = await this.#vms.get(ref, signal);
    const known = this.#waiting.get(id) ?? { end: { isDone: true, result: 'CHANGED' } };
    const waiting = liveStep({ parameters }, vm, waitedMs, known.keys);
    if (waiting !== undefined) {
      this.#waiting.set(id, known);
      return waiting;
    }
    const { end } = known;
    const { details } = end;
    return details === undefined ? end : { ...end, details: { ...(details as ApplyResult), vm } };
  }
}

/**
 * Where a change of a VM that runs stands; undefined if nothing of it is waited for. Fails with GUEST_DID_NOT_ANSWER if the guest has
 * not done its part in time, and as the attempt has failed where the agent could not do its own. The VM stays changed: what is not done
 * is tried again and again, and is in force at the next start at the latest.
 */
function liveStep(
  { parameters }: Pick<OperationRecord, 'parameters'>,
  vm: Vm,
  waitedMs: number,
  keys: readonly string[] | undefined,
): StepResult | undefined {
  // Others have asked for the rest.
  const open = vm.pendingChanges.filter(
    (change) => isLive(change) && keys?.includes(keyOf(change)) !== false,
  );
  if (open.length === 0) return undefined;
  const failed = open.find(({ problem }) => problem !== undefined);
  if (failed?.problem !== undefined) throw notMade(vm.definition, open, failed.problem);
  const { guestTimeoutMs = GUEST_TIMEOUT_MS } = parameters as { readonly guestTimeoutMs?: number };
  const leftMs = guestTimeoutMs - waitedMs;
  if (leftMs <= 0) throw notAnswered(vm, open, guestTimeoutMs);
  const lookMs = Math.min(LOOK_AGAIN_MS + waitedMs / 4, LOOK_AT_LEAST_MS);
  const message = `Waiting for the guest: ${namesOf(open)}`;
  return {
    isDone: false,
    step: CHANGING_LIVE,
    progress: { fractionDone: undefined, message, waitedMs, leftMs },
    again: { afterMs: Math.min(Math.ceil(leftMs), lookMs) },
  };
}

function notMade(
  { name, uid }: Pick<OperationVm, 'name' | 'uid'>,
  open: readonly PendingChange[],
  { reason, message }: AgentError,
): AgentError {
  return new AgentError(
    reason === 'GUEST_REFUSED' ? reason : 'LIVE_CHANGE_FAILED',
    `VM ${name} is changed, but not while it runs (${namesOf(open)}): ${message}; the agent tries again, and its next start has it`,
    { metadata: { vmId: uid } },
  );
}

function notAnswered(vm: Vm, open: readonly PendingChange[], timeoutMs: number): AgentError {
  const { name, uid } = vm.definition;
  const lacks = open.map(({ lack }) => lack).filter((lack) => lack !== undefined);
  const likely =
    lacks.length > 0
      ? lacks.join('; ')
      : 'it may not be up yet, or still use what is to go (unmount it there)';
  const why = vm.phase === 'paused' ? 'it is paused: let it go on with novactl vm resume' : likely;
  return new AgentError(
    'GUEST_DID_NOT_ANSWER',
    `VM ${name} is changed, but its guest has not done its part within ${timeoutMs / 1_000} s (${namesOf(open)}): ${why}; until then it stays as it is, the guest is asked again and again, and the next start has it`,
    { metadata: { vmId: uid } },
  );
}

function keyOf({ field, live, wanted }: PendingChange): string {
  return changeKeyOf({ field, before: live, after: wanted });
}

/** What is waited for, for people. */
function namesOf(open: readonly PendingChange[]): string {
  return open
    .map(({ field, live, wanted }) => {
      const name = ((wanted ?? live) as { readonly name?: string } | undefined)?.name;
      const short = field.replace(/^spec\.template\.spec\./, '');
      return name === undefined ? short : `${short} ${name}`;
    })
    .join(', ');
}
