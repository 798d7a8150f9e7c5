import type { Condition } from '../reports/report.ts';
import { sharedDevices } from './device-identities.ts';
import { type ConditionFacts, conditionsOf, type KnownCondition } from './vm-conditions.ts';
import type { VmContext } from './vm-phase.ts';

/**
 * The conditions of VMs, which are not worked out again from the same facts: of most VMs nothing changes between two looks, and it is
 * most of what there is to say of them.
 */
export class SettledConditions {
  /** By conditions, what they were worked out from. */
  readonly #settled = new WeakMap<readonly KnownCondition[], ConditionFacts>();

  /** As `conditionsOf`. */
  of(facts: ConditionFacts, previous: readonly KnownCondition[]): readonly Condition[] {
    const before = this.#settled.get(previous);
    // Then they are what was returned for these facts.
    if (before !== undefined && areSame(before, facts)) return previous as readonly Condition[];
    const conditions = conditionsOf(facts, previous);
    if (isSettled(facts)) this.#settled.set(conditions, facts);
    return conditions;
  }
}

/** Whether neither the time nor what is found out about devices decides as well. */
function isSettled({ context, drift, definition }: ConditionFacts): boolean {
  const devices = sharedDevices(definition);
  return context.restart === undefined && drift.length === 0 && devices.length === 0;
}

function areSame(left: ConditionFacts, right: ConditionFacts): boolean {
  return (
    left.isRead === right.isRead &&
    left.definition === right.definition &&
    left.liveDefinition === right.liveDefinition &&
    left.state.phase === right.state.phase &&
    left.state.reason === right.state.reason &&
    left.state.message === right.state.message &&
    isSameList(left.pendingChanges, right.pendingChanges) &&
    isSameList(left.drift, right.drift) &&
    left.diskDifference === right.diskDifference &&
    left.isStray === right.isStray &&
    left.hasDiskLeases === right.hasDiskLeases &&
    left.guestAgent === right.guestAgent &&
    isSameContext(left.context, right.context)
  );
}

function isSameList(left: readonly unknown[], right: readonly unknown[]): boolean {
  return left === right || (left.length === 0 && right.length === 0);
}

function isSameContext(left: VmContext, right: VmContext): boolean {
  const names = Object.keys(right) as (keyof VmContext)[];
  return names.every((name) => left[name] === right[name]);
}
