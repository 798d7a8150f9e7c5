import assert from 'node:assert/strict';
import { test } from 'node:test';
import { operationLineText } from '../../../../src/cli/progress/operation-line.ts';
import { OPERATION_CHANGE_WORDS, operationView } from '../../../../src/cli/views/operation-view.ts';
import { changeText } from '../../../../src/cli/views/watch-event.ts';
import { Operation, OperationKind, OperationState } from '../../../../src/client/api.ts';

const FAILED = Operation.create({
  id: '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11',
  kind: OperationKind.OPERATION_KIND_SHUTDOWN,
  virtualMachine: { namespace: 'default', name: 'web' },
  requestedBy: 'unix:root',
  requestTime: { seconds: 100n, nanos: 0 },
  startTime: { seconds: 100n, nanos: 0 },
  endTime: { seconds: 160n, nanos: 0 },
  state: OperationState.OPERATION_STATE_FAILED,
  error: { reason: 'GUEST_DID_NOT_STOP', message: 'It did not', metadata: { vmId: 'u' } },
});
const WAITING = Operation.create({
  ...FAILED,
  endTime: undefined,
  state: OperationState.OPERATION_STATE_RUNNING,
  step: 'waiting-for-guest',
  error: undefined,
});

function row(operation: Operation): readonly string[] {
  return operationView(400_000).columns.map((column) => column.value(operation));
}

test('a row says what was asked for, by whom, where it stands and why it failed', () => {
  assert.deepEqual(row(FAILED), [
    FAILED.id,
    'Shutdown',
    'default/web',
    'Failed',
    '',
    '5m',
    'unix:root',
    'GUEST_DID_NOT_STOP',
    '1m',
    '',
    '',
    'It did not',
  ]);
  assert.deepEqual(row(WAITING).slice(3, 5), ['Running', 'waiting-for-guest']);
});

test('a document has the words of the API, and its own kind', () => {
  const document = JSON.parse(JSON.stringify(operationView(0).document(FAILED)));
  assert.deepEqual(document, {
    apiVersion: 'novacron.io/v1alpha1',
    kind: 'Operation',
    id: FAILED.id,
    operationKind: 'Shutdown',
    virtualMachine: { namespace: 'default', name: 'web' },
    requestedBy: 'unix:root',
    requestTime: '1970-01-01T00:01:40.000Z',
    startTime: '1970-01-01T00:01:40.000Z',
    endTime: '1970-01-01T00:02:40.000Z',
    state: 'Failed',
    error: { reason: 'GUEST_DID_NOT_STOP', message: 'It did not', metadata: { vmId: 'u' } },
  });
});

test('a change is a line with VM, kind, state and step', () => {
  const line = changeText(
    { type: 'modified', object: WAITING },
    OPERATION_CHANGE_WORDS,
    new Date(),
  );
  assert.ok(
    line.endsWith(`modified ${FAILED.id} default/web Shutdown Running waiting-for-guest\n`),
    line,
  );
});

test('who waits sees what is done and for how long', () => {
  const text = operationLineText(WAITING, 112_300);
  assert.equal(text, 'Shutting down VM default/web: waiting for guest, 12s');
  const pending = { ...WAITING, step: '', requestTime: undefined };
  assert.equal(operationLineText(pending, 0), 'Shutting down VM default/web: pending, 0s');
});
