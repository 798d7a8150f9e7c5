import assert from 'node:assert/strict';
import { FieldChecks } from '../../../../src/agent/rpc/field-checks.ts';
import { AgentError } from '../../../../src/core/errors.ts';

/** What a conversion finds wrong, by field; nothing if all is well. */
export function wrong(convert: (checks: FieldChecks) => unknown): string[] {
  const checks = new FieldChecks();
  try {
    convert(checks);
    checks.throwIfAny('INVALID_REQUEST', 'Cannot');
    return [];
  } catch (error) {
    assert.ok(error instanceof AgentError, String(error));
    return error.violations.map(({ field }) => field);
  }
}
