import type { Condition } from '../reports/report.ts';
import { sharedDevices } from './device-identities.ts';
import { type ConditionFacts, conditionsOf, type KnownCondition } from './vm-conditions.ts';

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

/** Also of facts that come to be known later than this was written. */
function areSame(left: ConditionFacts, right: ConditionFacts): boolean {
  const names = Object.keys({ ...left, ...right }) as (keyof ConditionFacts)[];
  return names.every((name) => {
    const [one, other] = [left[name], right[name]];
    // What it says matters only to a VM that is never settled.
    if (one === other || name === 'deviceProblemOf') return true;
    if (Array.isArray(one) && Array.isArray(other)) return one.length === 0 && other.length === 0;
    return (name === 'state' || name === 'context') && isSameRecord(one, other);
  });
}

function isSameRecord(left: unknown, right: unknown): boolean {
  const [one, other] = [left, right] as [Record<string, unknown>, Record<string, unknown>];
  return Object.keys({ ...one, ...other }).every((name) => one[name] === other[name]);
}
