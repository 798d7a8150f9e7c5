import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type Operation,
  type OperationKind,
  type OperationParameters,
  THE_NODE,
} from '../../../../src/agent/operations/operation.ts';
import { toOperation } from '../../../../src/agent/rpc/operation-conversion.ts';
import { Operation as OperationMessage } from '../../../../src/gen/novacron/agent/v1/operation.ts';
import { ORIGIN } from '../../../fakes/fake-vm-service.ts';
import { operationRecord } from '../operations/operation-record.ts';

function operation(patch: Partial<Operation> = {}): Operation {
  return { ...operationRecord('o-1'), progress: undefined, origin: ORIGIN, ...patch };
}

/** What a client reads of the request. */
function requestOf(kind: OperationKind, parameters: OperationParameters): unknown {
  const message = toOperation(operation({ kind, parameters }));
  return OperationMessage.decode(OperationMessage.encode(message).finish()).request;
}

const MANIFEST = {
  metadata: { name: 'web', uid: undefined },
  spec: { running: false, cpus: [1, 2] },
};

test('what was asked for is told in the words of its request, without what was left out', () => {
  const cases: readonly [OperationKind, OperationParameters, unknown][] = [
    ['start', {}, undefined],
    ['shutdown', { timeoutMs: 1_500 }, { timeout: '1.5s' }],
    ['delete', { force: true, unownedCopy: false }, { force: true }],
    ['migrate', { destinationNode: 'b' }, { spec: { destination: { nodeName: 'b' } } }],
    [
      'uncordon',
      { spec: { cordon: false }, generation: 3 },
      { spec: { cordon: false }, generation: 3 },
    ],
    [
      'create',
      { manifest: MANIFEST, reservationId: undefined, ownershipEpoch: 7 },
      {
        virtualMachine: { metadata: { name: 'web' }, spec: { running: false, cpus: [1, 2] } },
        ownershipEpoch: 7,
      },
    ],
    ['apply', { updateMask: ['spec.running'] }, { updateMask: ['spec.running'] }],
  ];
  for (const [kind, parameters, request] of cases) {
    assert.deepEqual(requestOf(kind, parameters), request, kind);
  }
});

test('progress that is not known is unset, not 0', () => {
  const progress = { fractionDone: undefined, message: '', waitedMs: 1_500, leftMs: undefined };
  assert.deepEqual(toOperation(operation({ progress })).progress, {
    fractionDone: undefined,
    message: '',
    waited: { seconds: 1n, nanos: 500_000_000 },
    timeLeft: undefined,
  });
  assert.equal(toOperation(operation()).progress, undefined);
});

test('an operation of the node names no VM', () => {
  const { virtualMachine } = toOperation(operation({ kind: 'cordon', vm: THE_NODE }));
  assert.equal(virtualMachine, undefined);
});
