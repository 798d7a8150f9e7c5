import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasCreated, operationNotes } from '../../../../src/agent/events/operation-notes.ts';
import type { OperationRecord } from '../../../../src/agent/operations/operation.ts';
import { operationRecord } from '../operations/operation-record.ts';

const words = (record: OperationRecord, told: 0 | 1 = 0): readonly string[] =>
  operationNotes(record, told).map(({ reason, cause = '' }) => `${reason} ${cause}`.trim());

const ended = (patch: Partial<OperationRecord>): OperationRecord =>
  operationRecord('one', { startedAtMs: 2_000, endedAtMs: 3_000, state: 'succeeded', ...patch });

test('of an operation it is told that it was asked for, by whom, and that it could not be done, with why', () => {
  assert.deepEqual(words(operationRecord('one')), ['Requested Start']);
  const error = {
    reason: 'IMAGE_NOT_FOUND',
    message: 'There is no such file',
    metadata: {},
    violations: [],
  } as const;
  const failed = ended({ state: 'failed', error });
  assert.deepEqual(words(failed), ['Requested Start', 'RequestFailed ImageNotFound']);
  const [failure] = operationNotes(failed, 1);
  assert.equal(failure?.message, 'It could not be started: There is no such file');
  assert.deepEqual(
    [failure.requestedBy, failure.operationId, failure.atMs],
    ['unix:root', 'one', 3_000],
  );
});

test('of what has come to its end well other events tell', () => {
  assert.deepEqual(words(ended({}), 1), []);
  assert.deepEqual(words(ended({ kind: 'delete', result: 'DELETED' }), 1), ['Deleted']);
  assert.deepEqual(words(ended({ kind: 'reset' }), 1), ['Reset']);
  // Its migration tells so.
  assert.deepEqual(words(ended({ kind: 'migrate', state: 'failed' }), 1), []);
});

test('that something is not wanted any more is told', () => {
  assert.deepEqual(words(ended({ state: 'cancelled' }), 1), ['RequestCancelled Start']);
  assert.deepEqual(words(ended({ state: 'superseded' }), 1), ['RequestSuperseded Start']);
});

test('nothing is told of what there was nothing to do for, nor of what the agent asks for by itself unless it fails', () => {
  assert.deepEqual(words(ended({ startedAtMs: undefined })), []);
  const requestedBy = 'agent/run-strategies';
  assert.deepEqual(words(operationRecord('one', { requestedBy })), []);
  assert.deepEqual(words(ended({ requestedBy, state: 'failed' })), ['RequestFailed Internal']);
});

test('nothing is told of the node', () => {
  assert.deepEqual(words(operationRecord('one', { kind: 'cordon' })), []);
});

test('what makes a VM is a creation, or an apply of one that was not there', () => {
  assert.equal(hasCreated(ended({ kind: 'create' })), true);
  assert.equal(hasCreated(ended({ kind: 'apply', result: 'CREATED' })), true);
  assert.equal(hasCreated(ended({ kind: 'apply', result: 'CHANGED' })), false);
  assert.equal(hasCreated(ended({ kind: 'create', state: 'failed' })), false);
  // It was there already.
  assert.equal(hasCreated(ended({ kind: 'create', startedAtMs: undefined })), false);
});
