import type { OperationRecord } from '../../../../src/agent/operations/operation.ts';

/** An operation that starts VM web and has just been asked for, unless the patch says something else. */
export function operationRecord(id: string, patch: Partial<OperationRecord> = {}): OperationRecord {
  return {
    id,
    kind: 'start',
    vm: { namespace: 'default', name: 'web', uid: 'u-1' },
    parameters: {},
    requestedBy: 'unix:root',
    requestedAtMs: 1_000,
    startedAtMs: undefined,
    endedAtMs: undefined,
    state: 'pending',
    step: '',
    result: '',
    warnings: [],
    error: undefined,
    supersededBy: '',
    ...patch,
  };
}
