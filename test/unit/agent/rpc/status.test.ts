import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status as Code, type Metadata } from '@grpc/grpc-js';
import { toStatus } from '../../../../src/agent/rpc/status.ts';
import {
  AgentError,
  type FieldViolation,
  REASONS,
  type Reason,
} from '../../../../src/core/errors.ts';
import { BadRequest } from '../../../../src/gen/google/rpc/error_details.ts';
import { Status } from '../../../../src/gen/google/rpc/status.ts';

const never = new AbortController().signal;

test('every reason has a code of its own kind, none of them OK or UNKNOWN', () => {
  for (const reason of Object.keys(REASONS) as Reason[]) {
    const { code } = toStatus(new AgentError(reason, 'Text'), never, 'id');
    assert.ok(code > Code.UNKNOWN, reason);
  }
});

test('an integer code of a foreign error is not taken over', () => {
  const { code, details } = toStatus(Object.assign(new Error('inner'), { code: 5 }), never, 'id');
  assert.equal(code, Code.INTERNAL);
  assert.doesNotMatch(details, /inner/);
  assert.match(details, /id/);
});

test('things that are no errors at all are internal errors too', () => {
  for (const thrown of [undefined, null, 'text', 42, { code: 3, details: 'x' }]) {
    assert.equal(toStatus(thrown, never, 'id').code, Code.INTERNAL);
  }
});

test('what an aborted call throws is a cancellation or a passed deadline', () => {
  const cancelled = AbortSignal.abort();
  assert.equal(toStatus(cancelled.reason, cancelled, '').code, Code.CANCELLED);
  const late = AbortSignal.abort(new DOMException('late', 'TimeoutError'));
  assert.equal(toStatus(late.reason, late, '').code, Code.DEADLINE_EXCEEDED);
  // Node's own functions throw an AbortError of theirs.
  const theirs = new DOMException('aborted', 'AbortError');
  assert.equal(toStatus(theirs, late, '').code, Code.DEADLINE_EXCEEDED);
});

test('an abort of something else is an internal error', () => {
  assert.equal(toStatus(new DOMException('aborted', 'AbortError'), never, '').code, Code.INTERNAL);
});

test('a failure of ours stays what it is although the call was cancelled meanwhile', () => {
  const status = toStatus(new AgentError('VM_BUSY', 'Busy'), AbortSignal.abort(), '');
  assert.equal(status.code, Code.ABORTED);
});

test('all of it fits into the headers that clients accept', () => {
  const long = 'ü'.repeat(100_000);
  const error = new AgentError('INVALID_SPEC', long, {
    metadata: Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`key${at}`, long])),
    violations: Array.from({ length: 100 }, () => ({ field: long, description: long })),
  });
  const { details, metadata } = toStatus(error, never, '');
  const bytes = metadata.get('grpc-status-details-bin')[0] as Buffer;
  const onTheWire = encodeURI(details).length + bytes.toString('base64').length;
  assert.ok(onTheWire < 8_000, `${onTheWire} bytes`);
});

test('what is not supported names its fields as what is wrong does', () => {
  const violations = [{ field: 'spec.template.spec.image', description: 'is not supported' }];
  const { code, metadata } = toStatus(
    new AgentError('NOT_SUPPORTED', 'Cannot', { violations }),
    never,
    '',
  );
  assert.equal(code, Code.UNIMPLEMENTED);
  assert.deepEqual(violationsOf(metadata), violations);
});

test('violations are told as far as they fit', () => {
  const violations = Array.from({ length: 100 }, (_, at) => ({
    field: `spec.template.spec.volumes[${at}]`,
    description: 'must be given',
  }));
  const { metadata } = toStatus(new AgentError('INVALID_SPEC', 'Bad', { violations }), never, '');
  const told = violationsOf(metadata);
  assert.ok(told.length > 50);
  assert.deepEqual(told, violations.slice(0, told.length));
});

function violationsOf(metadata: Metadata): FieldViolation[] {
  const bytes = metadata.get('grpc-status-details-bin')[0] as Buffer;
  const packed = Status.decode(bytes).details.find(({ typeUrl }) => typeUrl.endsWith('BadRequest'));
  const { fieldViolations } = BadRequest.decode(packed?.value ?? Buffer.of());
  return fieldViolations.map(({ field, description }) => ({ field, description }));
}
