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
  request: { timeout: '60s' },
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

/** How long a guest has been waited for, and how much longer it is. */
const SLOW = Operation.create({
  ...WAITING,
  progress: {
    waited: { seconds: 12n, nanos: 500_000_000 },
    timeLeft: { seconds: 287n, nanos: 500_000_000 },
  },
});

function row(operation: Operation): readonly string[] {
  return operationView(400_000).columns.map((column) => column.value(operation));
}

test('a row says what was asked for, by whom, where it stands and why it failed', () => {
  assert.deepEqual(row(FAILED), [
    FAILED.id,
    'Shutdown',
    'default/web',
    'timeout=60s',
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
  assert.deepEqual(row(WAITING).slice(4, 6), ['Running', 'waiting-for-guest']);
});

test('what is asked of the node has no VM', () => {
  const spec = { cordon: true, cordonReason: 'new memory in every node of the third rack' };
  const cordon = Operation.create({ kind: OperationKind.OPERATION_KIND_CORDON, request: { spec } });
  assert.deepEqual(row(cordon).slice(1, 4), [
    'Cordon',
    '',
    'cordon cordonReason=new memory in every…',
  ]);
  assert.equal(
    operationLineText({ ...cordon, step: 'cordoning' }, 0),
    'Cordoning the node: cordoning, 0s',
  );
});

test('a manifest is told in a document alone', () => {
  const request = {
    virtualMachine: { metadata: { name: 'web' } },
    generation: 3,
    updateMask: ['a', 'b'],
  };
  const apply = Operation.create({ kind: OperationKind.OPERATION_KIND_APPLY, request });
  assert.equal(row(apply)[3], 'generation=3 updateMask=a,b');
  assert.partialDeepStrictEqual(operationView(0).document(apply), { request });
});

test('how far it has come stands beside the step, and in the document', () => {
  const copying = Operation.create({
    ...WAITING,
    step: 'copying',
    progress: { fractionDone: 0.439, message: 'Asking node-b' },
  });
  assert.equal(row(copying)[5], 'copying 43%');
  assert.equal(row(copying).at(-1), 'Asking node-b');
  assert.partialDeepStrictEqual(operationView(0).document(SLOW), {
    progress: { waited: '12.5s', timeLeft: '287.5s' },
  });
  assert.equal(row(SLOW)[5], 'waiting-for-guest 12s of 5m');
});

test('a document has the words of the API, and its own kind', () => {
  const document = JSON.parse(JSON.stringify(operationView(0).document(FAILED)));
  assert.deepEqual(document, {
    apiVersion: 'novacron.io/v1alpha1',
    kind: 'Operation',
    id: FAILED.id,
    operationKind: 'Shutdown',
    virtualMachine: { namespace: 'default', name: 'web' },
    request: { timeout: '60s' },
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
  // The agent said so three seconds ago; its clock may be another.
  assert.equal(
    operationLineText(SLOW, 0, 3_000),
    'Shutting down VM default/web: waiting for guest, 15s of 5m',
  );
  const stuck = {
    ...SLOW,
    step: 'asking-guest',
    progress: SLOW.progress && { ...SLOW.progress, message: 'Trying again: libvirt is away' },
  };
  assert.equal(
    operationLineText(stuck, 0),
    'Shutting down VM default/web: asking guest, 12s of 5m, Trying again: libvirt is away',
  );
  const pending = { ...WAITING, step: '', requestTime: undefined };
  assert.equal(operationLineText(pending, 0), 'Shutting down VM default/web: pending, 0s');
});
