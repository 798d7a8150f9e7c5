import { AgentError } from '../../core/errors.ts';
import type { OperationRecord, OperationVm } from '../operations/operation.ts';
import type { StepResult } from '../operations/operation-work.ts';
import { WAITING_FOR_GUEST } from './power-steps.ts';
import type { Vm } from './vm.ts';
import { isOff, wasMovedAway } from './vm-phase.ts';

/** How long a guest that was asked for something is waited for, unless the caller says. */
const GUEST_TIMEOUT_MS = 300_000;
/** What a guest does is seen at once; this is for what nobody sees, and to say how long it has been. */
const LOOK_AGAIN_MS = 5_000;

/** What has become of a guest that was asked to power off. */
export type PowerOff =
  | { readonly kind: 'off'; readonly vm: Vm }
  /** It was off, and somebody has started it again. */
  | { readonly kind: 'on-again'; readonly vm: Vm }
  | { readonly kind: 'waiting'; readonly result: StepResult }
  | { readonly kind: 'late' };

export interface PowerOffVerbs {
  readonly get: (ref: OperationVm, signal: AbortSignal) => Promise<Vm>;
  /** Asks the guest. */
  readonly ask: (ref: OperationVm, signal: AbortSignal) => Promise<Vm>;
}

/** Asks guests to power off, each once for an operation, and waits for them. */
export class GuestPowerOffs {
  readonly #verbs: PowerOffVerbs;
  /** Since when the VMs have been on whose guests were asked, by their uids: a later run is another guest's. */
  readonly #askedRuns = new Map<string, number | undefined>();

  constructor(verbs: PowerOffVerbs) {
    this.#verbs = verbs;
  }

  /** Where it stands; asks the guest unless this operation of this agent has. */
  async look(operation: OperationRecord, signal: AbortSignal, waitedMs: number): Promise<PowerOff> {
    const { vm: ref, step } = operation;
    let vm = await this.#verbs.get(ref, signal);
    if (wasMovedAway(vm)) throw movedAway(ref);
    // Asked once by each operation, and again by the next agent: an earlier one may have been killed before it could.
    const hasAsked = step === WAITING_FOR_GUEST && waitedMs > 0;
    if (hasAsked && !isOff(vm) && this.#askedRuns.get(ref.uid) !== vm.run?.sinceMs) {
      return this.#over(ref, { kind: 'on-again', vm });
    }
    if (!hasAsked) {
      if (!isOff(vm)) vm = await this.#verbs.ask(ref, signal);
      this.#askedRuns.set(ref.uid, vm.run?.sinceMs);
    }
    if (isOff(vm)) return this.#over(ref, { kind: 'off', vm });
    const leftMs = timeoutOf(operation) - waitedMs;
    if (leftMs <= 0) return this.#over(ref, { kind: 'late' });
    return { kind: 'waiting', result: waitingForGuest(waitedMs, leftMs, LOOK_AGAIN_MS) };
  }

  #over(ref: OperationVm, end: PowerOff): PowerOff {
    this.#askedRuns.delete(ref.uid);
    return end;
  }
}

/** How long the guest of an operation is waited for. */
export function timeoutOf({ parameters }: OperationRecord): number {
  const { timeoutMs = GUEST_TIMEOUT_MS } = parameters as { readonly timeoutMs?: number };
  return timeoutMs;
}

export function waitingForGuest(waitedMs: number, leftMs: number, lookAgainMs: number): StepResult {
  const again = { afterMs: Math.min(Math.ceil(leftMs), lookAgainMs) };
  const progress = { fractionDone: undefined, message: '', waitedMs, leftMs };
  return { isDone: false, step: WAITING_FOR_GUEST, progress, again };
}

/** A guest was asked for something and has not done it; `advice` says how to go on. */
export function guestDidNot(
  operation: OperationRecord,
  what: 'power off' | 'reboot',
  advice: string,
): AgentError {
  const { vm } = operation;
  return new AgentError(
    'GUEST_DID_NOT_STOP',
    `VM ${vm.name} was asked to ${what} and has not within ${timeoutOf(operation) / 1_000} s; it may still do so; ${advice}`,
    { metadata: { vmId: vm.uid } },
  );
}

function movedAway({ name, uid }: OperationVm): AgentError {
  return new AgentError(
    'VM_NOT_OWNED',
    `VM ${name} was moved to another node by other means than this agent while it was being shut down; shut it down there`,
    { metadata: { vmId: uid } },
  );
}
