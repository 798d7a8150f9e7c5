import assert from 'node:assert/strict';
import { hintFor } from '../../../../src/cli/errors/hints.ts';
import { DEED_REASONS, type DeedVerb } from '../../../../src/core/deed-reasons.ts';
import { AgentError, type Reason } from '../../../../src/core/errors.ts';

/** How reasons come about. */
export type Scenarios<Attempt> = Readonly<
  Partial<Record<Reason, (attempt: Attempt) => Promise<unknown> | void>>
>;

/** Undefined if it went well. */
export async function endOf(attempt: Promise<unknown>): Promise<AgentError | undefined> {
  try {
    await attempt;
    return undefined;
  } catch (error) {
    assert.ok(error instanceof AgentError, String(error));
    return error;
  }
}

/** It names the VM as its user does, and there is something to do about it. */
export function assertSpeaks(error: AgentError): void {
  assert.doesNotMatch(error.message, /VM "?[0-9a-f]{8}-[0-9a-f]{4}-/);
  assert.ok(hintFor(error), error.reason);
}

/** The list is closed: each of its reasons has a scenario, and no other reason has one. */
export function assertComplete<Attempt>(
  verb: DeedVerb,
  when: 'foretold' | 'found',
  scenarios: Scenarios<Attempt>,
): void {
  assert.deepEqual(new Set(Object.keys(scenarios)), new Set(DEED_REASONS[verb][when]));
}
