import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toVirtualMachine } from '../../../../src/agent/rpc/virtual-machine-conversion.ts';
import type { Vm } from '../../../../src/agent/vms/vm.ts';
import { vmDetailsText } from '../../../../src/cli/views/vm-details.ts';
import { vmDocument, vmView } from '../../../../src/cli/views/vm-view.ts';
import { makeVm } from '../../../fakes/fake-vm-service.ts';

const NOON_MS = Date.UTC(2026, 0, 2, 12);
const RESTART = {
  attempts: 0,
  failedStarts: 0,
  nextStartMs: NOON_MS,
  lastFailure: '',
  lacksMemory: false,
};

const documentOf = (changes: Partial<Vm>) => vmDocument(toVirtualMachine(makeVm('web', changes)));

const valueOf = (header: string, changes: Partial<Vm>) =>
  vmView({ nowMs: 0, showNamespace: false })
    .columns.find((column) => column.header === header)
    ?.value(documentOf(changes));

test('the list says whether a VM can be moved, or why not', () => {
  const condition = {
    type: 'LiveMigratable',
    message: '',
    lastTransitionAtMs: 0,
    observedGeneration: 1,
  };
  const said = (status: 'true' | 'false' | 'unknown', reason: string) =>
    valueOf('MIGRATABLE', { conditions: [{ ...condition, status, reason }] });
  assert.equal(said('true', 'Migratable'), 'yes');
  assert.equal(said('false', 'DiskLocal'), 'no (DiskLocal)');
  assert.equal(said('unknown', ''), '');
  assert.equal(valueOf('MIGRATABLE', { conditions: [] }), '');
});

test('the list says why a VM is in its phase', () => {
  assert.equal(valueOf('PHASE', { phase: 'failed', reason: 'Crashed' }), 'Failed');
  assert.equal(valueOf('REASON', { phase: 'failed', reason: 'Crashed' }), 'Crashed');
});

function startsAgain(restart: Partial<typeof RESTART> | undefined): string | undefined {
  return valueOf('STARTS AGAIN', { restart: restart && { ...RESTART, ...restart } });
}

test('the wide list says when a VM is started again, and what has come of the starts before', () => {
  assert.equal(startsAgain(undefined), '');
  assert.equal(startsAgain({}), '12:00:00Z');
  assert.equal(startsAgain({ attempts: 3, failedStarts: 3 }), '12:00:00Z, 3 failed');
  assert.equal(startsAgain({ attempts: 3, failedStarts: 1 }), '12:00:00Z, 1 failed, 2 ended early');
});

test('a VM is shown with why it is what it is, and with its conditions', () => {
  const condition = {
    type: 'RunStrategyFulfilled',
    status: 'false',
    reason: 'WaitsToRestart',
    message: 'Starts again at 12:04:05Z',
    lastTransitionAtMs: NOON_MS,
    observedGeneration: 1,
  } as const;
  const changes = { phase: 'failed', reason: 'Crashed', message: 'Read its log' } as const;
  const text = vmDetailsText(documentOf({ ...changes, conditions: [condition] }), NOON_MS + 90_000);
  const lines = text.split('\n').map((line) => line.split(/ {2,}/));
  assert.deepEqual(lines[1], ['Failed: Crashed: Read its log']);
  assert.deepEqual(lines[4], [
    'RunStrategyFulfilled',
    'False',
    '1m30s',
    'WaitsToRestart',
    'Starts again at 12:04:05Z',
  ]);
  assert.ok(!vmDetailsText(documentOf({}), 0).includes(': '));
});

test('what is told of restarts is part of the document', () => {
  const restart = { ...RESTART, attempts: 2, failedStarts: 1, lastFailure: 'no' };
  assert.deepEqual(documentOf({ restart }).status?.restart, {
    attempts: 2,
    failedStarts: 1,
    nextStartTime: '2026-01-02T12:00:00.000Z',
    lastFailure: 'no',
  });
});
